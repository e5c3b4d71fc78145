"""The prompts a person would give, made from the true outline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

Mask = NDArray[np.bool_]
FrameBox = tuple[float, float, float, float]

BOX_ERROR = 0.05  # of the box's side: how far each side is off at most


@dataclass(frozen=True)
class Click:
    """A click at the center of pixel (x, y)."""

    x: int
    y: int
    positive: bool


def bounding_box(mask: Mask) -> FrameBox:
    """The half-open box x0, y0, x1, y1 round a mask (height, width) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def drawn_box(truth: Mask, rng: np.random.Generator, error: float = BOX_ERROR) -> FrameBox:
    """The true box with each side moved in or out by up to ``error`` of its length, clipped to the frame."""
    x0, y0, x1, y1 = bounding_box(truth)
    moves = rng.uniform(-error, error, 4) * (x1 - x0, y1 - y0, x1 - x0, y1 - y0)
    height, width = truth.shape
    moved = np.clip(np.array([x0, y0, x1, y1]) + moves, 0, (width, height, width, height))
    return float(moved[0]), float(moved[1]), float(moved[2]), float(moved[3])


def next_click(truth: Mask, predicted: Mask, clicked: Mask) -> Click | None:
    """The click that corrects most: in the middle of the largest error, positive where the structure was missed.

    clicked  pixels that have a click already; they get no second one

    The middle is the pixel deepest inside the error; of the missed and the false region the one with the deeper middle
    is clicked (Sofiiuk et al., arXiv 2102.06583). None where everything is right. Without an outline yet this is the
    click in the middle of the structure.
    """
    depths = [_depth(truth & ~predicted) * ~clicked, _depth(predicted & ~truth) * ~clicked]
    positive = bool(depths[0].max() > depths[1].max())
    depth = depths[0] if positive else depths[1]
    if depth.max() <= 0:
        return None
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return Click(int(x), int(y), positive)


def _depth(mask: Mask) -> NDArray[np.float64]:
    """Distance of every pixel from the outside of the mask; the frame's border is outside."""
    return np.asarray(distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1])
