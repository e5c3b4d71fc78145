"""Small conversions of prompts that several runtimes share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from delineate.core.resolve import FramePrompts
from delineate.preprocess.fitting import Filter, Fitted, resampled

CORNERS = (2, 3)  # labels of a box's upper left and lower right corner among points


def following_corners(mask: NDArray[np.bool_], place: Fitted, margin: float, by_area: bool) -> NDArray[np.float32]:
    """The box that follows an outline (height, width) to the next frame, as corners (2, 2) in pixels of the input.

    As MedSAM2's and LiteMedSAM's scripts for volumes make it: around the outline in the input, from its first to its
    last pixel, ``margin`` pixels larger on each side, within the input.

    by_area  the outline is made smaller by area (LiteMedSAM), not by taking the nearest pixel
    """
    kind = Filter.AREA_8BIT if by_area else Filter.NEAREST
    small = resampled(mask.astype(np.uint8)[..., None], place.inner, kind)[..., 0] > 0
    rows, columns = np.flatnonzero(small.any(axis=1)) + place.top, np.flatnonzero(small.any(axis=0)) + place.left
    if not len(rows):
        low, high = np.array([place.left, place.top]), np.array([place.inner[1], place.inner[0]])
        return np.stack([low, low + high]).astype(np.float32)
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]])
    return np.stack([np.maximum(low - margin, 0), np.minimum(high + margin, place.side)]).astype(np.float32)


def placed_points(
    prompts: FramePrompts, place: Fitted, corners: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """What SAM 2 takes of prompts: points (N, 2) in input pixels and their labels (N,), a box's corners first.

    corners  of a box in pixels of the input, in place of the prompts' own
    """
    points, labels = place.points(prompts.points), prompts.labels.astype(np.int32)
    if corners is None and prompts.box is not None:
        corners = place.corners(prompts.box)
    if corners is None:
        return points, labels
    return np.concatenate([corners, points]), np.concatenate([np.array(CORNERS, np.int32), labels])


def truncated(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Places cut to whole pixels."""
    return np.trunc(points).astype(np.float32)


def alike(keys: Sequence[Hashable]) -> list[list[int]]:
    """The positions of equal keys, together: what can be decoded in one batch."""
    groups: dict[Hashable, list[int]] = {}
    for n, key in enumerate(keys):
        groups.setdefault(key, []).append(n)
    return list(groups.values())
