"""Labeled scans: read in the layouts people have them in, checked, split by subject."""
