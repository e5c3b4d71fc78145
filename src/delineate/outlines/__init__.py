"""Outlines made anew from outlines, and numbers on them: clean, fill between slices, measure.

Pure functions; the grid stays as it is, bit for bit.
"""
