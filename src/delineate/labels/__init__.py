"""Tools for outlines that are there already: clean, combine, fill between slices, measure, compare.

Pure functions from outlines to outlines or numbers; the grid stays as it is, bit for bit.
"""
