"""Small conversions of prompts that several runtimes share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from delineate.core.resolve import FramePrompts
from delineate.preprocess.fitting import Fitted

CORNERS = (2, 3)  # labels of a box's upper left and lower right corner among points


def following_box(mask: NDArray[np.bool_], margin: float) -> tuple[float, float, float, float]:
    """The box around an outline, ``margin`` frame pixels larger on each side, within the frame."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    if not len(rows):
        return 0.0, 0.0, float(width), float(height)
    return (
        max(0.0, columns[0] - margin),
        max(0.0, rows[0] - margin),
        min(float(width), columns[-1] + 1 + margin),
        min(float(height), rows[-1] + 1 + margin),
    )


def placed_points(prompts: FramePrompts, place: Fitted) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """What SAM 2 takes of prompts: points (N, 2) in input pixels and their labels (N,), a box's corners first."""
    points, labels = place.points(prompts.points), prompts.labels.astype(np.int32)
    if prompts.box is None:
        return points, labels
    return np.concatenate([place.corners(prompts.box), points]), np.concatenate([np.array(CORNERS, np.int32), labels])


def truncated(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Places cut to whole pixels."""
    return np.trunc(points).astype(np.float32)


def alike(keys: Sequence[Hashable]) -> list[list[int]]:
    """The positions of equal keys, together: what can be decoded in one batch."""
    groups: dict[Hashable, list[int]] = {}
    for n, key in enumerate(keys):
        groups.setdefault(key, []).append(n)
    return list(groups.values())
