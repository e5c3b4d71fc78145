"""Readers, one file a format; ``io.opening`` detects the format from the content."""
