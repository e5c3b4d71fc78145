"""Marks on a few slices as boxes on all slices between them (bowang-lab/MedSAM, extensions/seg_3dnii_sparse_marker).

A reader draws the long and short axes of a tumour every few slices. Each mark becomes a box; between two marked slices
the distance to the boxes is interpolated, and where it stays below a pixel the structure is taken to be; the box around
that, grown again, prompts the slice. Slices left without one are followed from the nearest that has one.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from delineate.core.errors import PromptError
from delineate.core.prompts import Box

GROWN = 5  # pixels a box is grown by on each side, around a mark and around what was interpolated
FILLED = 0.5  # share of its box that an outline covers and axes drawn in it do not
LEAST_BOX = 100  # pixels of a box that are enough to tell
INSIDE = 0.5  # interpolated distance, in pixels, up to which a pixel belongs to the structure

Corners = tuple[int, int, int, int]


def marker_boxes(marks: NDArray[np.bool_]) -> list[Box]:
    """A box prompt for every slice from the first to the last marked one, where what lies between is not empty.

    marks  bool (slices, height, width), anything drawn on a few slices. Raises PromptError if nothing is drawn.
    """
    marked = [int(n) for n in np.flatnonzero(marks.any(axis=(1, 2)))]
    if not marked:
        raise PromptError(
            "E-MARKS-EMPTY", "The marks are empty: not one voxel is set.", "Mark the structure on at least one slice."
        )
    outlines = {n: _filled(_around(marks[n]), marks.shape[1:]) for n in marked}
    for low, high in pairwise(marked):
        outlines |= _between(outlines, low, high)
    return [Box(*_around(outlines[n]), frame=n) for n in sorted(outlines) if outlines[n].any()]


def are_outlines(marks: NDArray[np.bool_]) -> bool:
    """Whether what is drawn (slices, height, width) fills its boxes, as outlines do and axes do not; small ones may."""
    filled, boxes = 0, 0
    for mark in marks[marks.any(axis=(1, 2))]:
        rows, columns = np.flatnonzero(mark.any(axis=1)), np.flatnonzero(mark.any(axis=0))
        box = mark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if box.size >= LEAST_BOX:
            filled, boxes = filled + int(box.sum()), boxes + box.size
    return filled > FILLED * boxes


def _between(outlines: dict[int, NDArray[np.bool_]], low: int, high: int) -> dict[int, NDArray[np.bool_]]:
    """Where the structure is taken to be on the slices between two marked ones."""
    first, last = (distance_transform_edt(~outlines[n]) for n in (low, high))
    share = {n: (n - low) / (high - low) for n in range(low + 1, high)}
    return {n: first * (1 - part) + last * part <= INSIDE for n, part in share.items()}


def _around(mask: NDArray[np.bool_]) -> Corners:
    """The box from the first to the last row and column, grown, within the slice; corners as the original has them."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    return (
        max(0, int(columns[0]) - GROWN),
        max(0, int(rows[0]) - GROWN),
        min(width, int(columns[-1]) + GROWN),
        min(height, int(rows[-1]) + GROWN),
    )


def _filled(box: Corners, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask
