"""Single arrays of numpy, read as ``imgs`` of an npz file."""

from delineate.io.readers.npz import read_array as read

__all__ = ["read"]
