"""Which outlines are plausible, by what the network does not know of: where its window ends, and the box it fills."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delineate.preprocess.crop import Array, CropWindow


def kept_inside(logits: Array, window: CropWindow, size: tuple[int, int]) -> NDArray[np.float32]:
    """1 for an outline (of K, S, S) that stays within its window, less the more of the window's rim it covers.

    The rim counts only where the window ends within the frame.
    """
    side = logits.shape[-1]
    inner = slice(side // 16, -(side // 16))
    rim = np.ones((side, side), bool)
    rim[inner, inner] = False
    x, y = (
        (np.arange(side) + 0.5) * window.size / side + window.x,
        (np.arange(side) + 0.5) * window.size / side + window.y,
    )
    margin = window.size / 8
    within = ((y > margin) & (y < size[0] - margin))[:, None] & ((x > margin) & (x < size[1] - margin))[None]
    rim &= within
    inside = logits > 0
    touched = (inside & rim).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    return np.exp(-4 * touched).astype(np.float32)


def fit(logits: Array, box: Array) -> NDArray[np.float32]:
    """How well outlines (of K, S, S) fit the box they were asked for: the root of the IoU of their bounds with it."""
    asked = bounds(box > 0.5)
    if asked is None:
        return np.ones(len(logits), np.float32)
    return np.array([_box_iou(bounds(one > 0), asked) ** 0.5 for one in logits], np.float32)


def _box_iou(one: tuple[float, float, float, float] | None, other: tuple[float, float, float, float]) -> float:
    if one is None:
        return 0.0
    width, height = (max(0.0, min(one[n + 2], other[n + 2]) - max(one[n], other[n])) for n in (0, 1))
    sizes = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return width * height / (sum(sizes) - width * height)


def bounds(mask: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
