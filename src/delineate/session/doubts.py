"""What a person should know of a prompt: there is nothing to see where it points, or it points at the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import Notice
from delineate.core.frame_source import Pixels
from delineate.core.resolve import FramePrompts

BLOCK: Final = 8  # pixels along a side of the parts whose values are remembered
SURROUNDINGS: Final = 0.5  # of a prompt's longer side, on each side: what models look at beside it
LEAST_SURROUNDINGS: Final = 16  # pixels
DOUBTED: Final = 0.3  # the most that the confidence of a doubted outline is
WORDS: Final = {  # what is said of the frame, in short
    "W-PICTURE-BLANK": "nothing can be seen where it was prompted",
    "W-OUTLINE-BACKGROUND": "it may be the background",
}
DARK: Final = 0.1  # of the range of a frame's values: what is no brighter is as dark as air
BACKGROUND_SHARE, BACKGROUND_BORDERS = 0.1, 3  # of the frame, and its borders that an outline of background reaches


@dataclass(frozen=True, eq=False)
class ValueRanges:
    """The range of the finite values in each block of BLOCK x BLOCK pixels of a frame.

    low, high  (rows, columns, channels)
    """

    low: NDArray[Any]
    high: NDArray[Any]

    @classmethod
    def of(cls, pixels: Pixels) -> Self:
        """Of a frame (height, width[, channels])."""
        planes = pixels.reshape(*pixels.shape[:2], -1)
        if planes.dtype.kind == "f":
            finite = np.isfinite(planes)
            lows, highs = np.where(finite, planes, np.inf), np.where(finite, planes, -np.inf)
        else:
            lows = highs = planes
        return cls(_blocks(np.minimum, lows), _blocks(np.maximum, highs))

    def is_constant(self, box: tuple[float, float, float, float]) -> bool:
        """Whether every channel has one finite value, or none, in the blocks that a box (x0, y0, x1, y1) meets."""
        x0, y0, x1, y1 = (value / BLOCK for value in box)
        rows, columns = self.low.shape[:2]
        down = slice(int(np.clip(np.floor(y0), 0, rows - 1)), int(np.clip(np.ceil(y1), 1, rows)))
        across = slice(int(np.clip(np.floor(x0), 0, columns - 1)), int(np.clip(np.ceil(x1), 1, columns)))
        low, high = self.low[down, across].min(axis=(0, 1)), self.high[down, across].max(axis=(0, 1))
        return bool((low >= high).all())

    def is_dark(self, points: NDArray[np.float64]) -> bool:
        """Whether all blocks with a point (x, y) are among the darkest of the frame, in every channel."""
        rows, columns = self.low.shape[:2]
        x = np.clip(points[:, 0] // BLOCK, 0, columns - 1).astype(int)
        y = np.clip(points[:, 1] // BLOCK, 0, rows - 1).astype(int)
        middle = (self.low[y, x].astype(float) + self.high[y, x]) / 2
        finite = np.isfinite(self.low.astype(float)) & np.isfinite(self.high.astype(float))
        if not finite.any():
            return False
        low = np.percentile(self.low[finite], 1)
        high = np.percentile(self.high[finite], 99)
        return bool(high > low and (middle <= low + DARK * (high - low)).all())


def _blocks(reduce: np.ufunc, planes: NDArray[Any]) -> NDArray[Any]:
    starts = [np.arange(0, length, BLOCK) for length in planes.shape[:2]]
    return np.asarray(reduce.reduceat(reduce.reduceat(planes, starts[0], axis=0), starts[1], axis=1))


def nothing_to_see(ranges: ValueRanges, prompts: FramePrompts, where: str) -> tuple[Notice, ...]:
    """A notice where a frame holds one value only around its prompts; ``where`` says which frame."""
    around = _surroundings(prompts)
    if around is None or not ranges.is_constant(around):
        return ()
    text = (
        f"Around the prompt on {where} there is one value only: nothing can be seen there, and the outline is a guess."
    )
    return (Notice("W-PICTURE-BLANK", text),)


def points_at_background(
    mask: NDArray[np.bool_], prompts: FramePrompts, where: str, ranges: ValueRanges
) -> tuple[Notice, ...]:
    """A notice where clicks alone gave an outline (height, width) of what is background by all appearance.

    It reaches round the frame; or it reaches a border, and the clicks are where the frame is darkest.
    """
    if prompts.box is not None or prompts.mask is not None or not prompts.labels.any():
        return ()
    borders = sum(bool(edge.any()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    if mask.mean() >= BACKGROUND_SHARE and borders >= BACKGROUND_BORDERS:
        seen = f"The outline on {where} covers {mask.mean():.0%} of it and reaches its borders on {borders} sides"
    elif borders and ranges.is_dark(prompts.points[prompts.labels]):
        seen = f"The click on {where} is where it is darkest, and the outline reaches its border"
    else:
        return ()
    text = f"{seen}: the click may be on the background. Click on the structure, or draw a box around it."
    return (Notice("W-OUTLINE-BACKGROUND", text),)


def _surroundings(prompts: FramePrompts) -> tuple[float, float, float, float] | None:
    """What lies around boxes, clicks and outlines; None where only words point."""
    low, high = [], []
    if prompts.box is not None:
        low.append(prompts.box[:2])
        high.append(prompts.box[2:])
    if prompts.mask is not None and prompts.mask.any():
        rows, columns = np.nonzero(prompts.mask)
        low.append((float(columns.min()), float(rows.min())))
        high.append((float(columns.max()) + 1, float(rows.max()) + 1))
    if len(prompts.points):
        low.append(tuple(prompts.points.min(axis=0)))
        high.append(tuple(prompts.points.max(axis=0) + 1))
    if not low:
        return None
    (x0, y0), (x1, y1) = np.min(low, axis=0), np.max(high, axis=0)
    margin = max(LEAST_SURROUNDINGS, SURROUNDINGS * max(x1 - x0, y1 - y0))
    return float(x0 - margin), float(y0 - margin), float(x1 + margin), float(y1 + margin)
