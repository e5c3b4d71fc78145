"""Protocols of other programs, answered by the same sessions."""
