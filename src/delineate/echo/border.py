"""The border of an outline as a closed curve, in order."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.errors import InputError

Points = NDArray[np.float64]  # (N, 2): x, y

SMOOTHING: Final = 1.5  # steps of one pixel side: what takes the stairs of pixels away and keeps the shape
_TURNS: Final = {  # where a border that runs this way may go on, the sharpest way inwards first (4-connected)
    (1, 0): ((0, 1), (1, 0), (0, -1)), (0, 1): ((-1, 0), (0, 1), (1, 0)),
    (-1, 0): ((0, -1), (-1, 0), (0, 1)), (0, -1): ((1, 0), (0, -1), (-1, 0)),
}  # fmt: skip


def one_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of an outline (4 neighbors), its holes filled.

    Raises InputError for an empty one.
    """
    labels, count = ndimage.label(mask)
    if not count:
        raise InputError(
            "E-ECHO-EMPTY", "There is no outline of the chamber to measure.", "Outline it on that frame, or leave it."
        )
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(labels == sizes.argmax()), bool)


def border_of(piece: NDArray[np.bool_]) -> Points:
    """Middles of the pixel sides round one connected piece without holes, in order, clockwise as shown.

    Pixel middles lie at whole numbers.
    """
    padded = np.pad(piece, 1)
    sides: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (dx, dy), (row, column) in zip(
        ((1, 0), (-1, 0), (0, -1), (0, 1)), ((-1, 0), (1, 0), (0, -1), (0, 1)), strict=True
    ):
        outside = ~np.roll(padded, (-row, -column), (0, 1))
        for y, x in zip(*np.nonzero(padded & outside), strict=True):
            start = int(x) + (dx < 0 or column > 0), int(y) + (dy < 0 or row > 0)
            sides.setdefault(start, []).append((dx, dy))
    begin = min(sides)
    place, way = begin, sides[begin][0]
    found = []
    while True:
        found.append((place[0] + way[0] / 2, place[1] + way[1] / 2))
        place = place[0] + way[0], place[1] + way[1]
        if place == begin and len(sides[begin]) == 1:
            break
        way = next(turn for turn in _TURNS[way] if turn in sides[place])
        if place == begin and way == sides[begin][0]:
            break
    return np.array(found) - 1.5


def smoothed(border: Points, sigma: float = SMOOTHING) -> Points:
    """A closed border without the stairs of its pixels."""
    return np.asarray(ndimage.gaussian_filter1d(border, sigma, axis=0, mode="wrap"))


def evenly(curve: Points, count: int) -> Points:
    """``count`` points at equal distances along an open curve, its ends among them."""
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0, along[-1], count)
    return np.column_stack([np.interp(at, along, curve[:, axis]) for axis in (0, 1)])
