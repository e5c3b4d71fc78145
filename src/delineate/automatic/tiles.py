"""Large pictures, such as slides, in overlapping tiles the size of what an encoder sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # x0, y0, x1, y1, half-open


def tiles(height: int, width: int, side: int, shared: float) -> Iterator[Box]:
    """Squares of ``side`` pixels that cover a picture, neighbors sharing at least that part of a side."""
    for y in _places(height, side, shared):
        for x in _places(width, side, shared):
            yield x, y, min(x + side, width), min(y + side, height)


def _places(length: int, side: int, shared: float) -> list[int]:
    """Where tiles begin along one axis; the last one ends where the picture does."""
    if length <= side:
        return [0]
    step = max(1, int(side * (1 - shared)))
    count = -(-(length - side) // step) + 1
    return [round(n * (length - side) / (count - 1)) for n in range(count)]


def overview(pixels: NDArray[Any], side: int) -> tuple[NDArray[Any], int]:
    """A picture (height, width[, channels]) made smaller by a whole factor, to ``side`` pixels at most; the factor.

    Each pixel is the mean of a square; a rest at the lower and right edge is left out.
    """
    factor = -(-max(pixels.shape[:2]) // side)
    height, width = (n // factor for n in pixels.shape[:2])
    small = np.empty((height, width, *pixels.shape[2:]), pixels.dtype)
    for row in range(height):  # a row of squares in memory
        squares = pixels[row * factor : (row + 1) * factor, : width * factor]
        small[row] = squares.reshape(factor, width, factor, *pixels.shape[2:]).mean(axis=(0, 2)).astype(pixels.dtype)
    return small, factor
