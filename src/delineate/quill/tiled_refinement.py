"""Thin structures on large frames, drawn finer: a second look through windows in which a pixel is a pixel.

A box around a whole retina is shown to the network several times smaller than it is, and its vessels are lost on the
way. What was outlined is looked at again in overlapping windows of the network's own resolution, each prompted with
the outline so far, and put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delineate.preprocess.crop import Array, CropWindow

THIN = 0.2  # share of its bounds that a thin structure fills, at most
SHRUNK = 1.5  # frame pixels to one of the network's, from which on a second look is worth it
STEP = 0.75  # from one window to the next, in windows
MOST_ACROSS = 6  # windows along a side
LEAST_SEEN = 12  # pixels of the outline in a window that is looked through


def is_worth_it(mask: NDArray[np.bool_], window: CropWindow, side: int) -> bool:
    """Whether an outline (height, width) is thin, and was shown too small: through ``window``, at ``side`` pixels."""
    if window.size < SHRUNK * side or not mask.any():
        return False
    rows, columns = mask.any(axis=1), mask.any(axis=0)
    spans = [np.flatnonzero(axis)[[0, -1]] @ (-1, 1) + 1 for axis in (rows, columns)]
    return bool(mask.sum() < THIN * spans[0] * spans[1])


def windows_on(mask: NDArray[np.bool_], side: int) -> list[CropWindow]:
    """Overlapping windows of ``side`` frame pixels (larger where there would be too many) that hold the outline."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    low, high = (int(columns[0]), int(rows[0])), (int(columns[-1]) + 1, int(rows[-1]) + 1)
    size = max(float(side), max(h - n for h, n in zip(high, low, strict=True)) / (1 + STEP * (MOST_ACROSS - 1)))
    return [
        CropWindow(x, y, size)
        for y in _starts(low[1], high[1], size)
        for x in _starts(low[0], high[0], size)
        if mask[max(0, int(y)) : int(y + size), max(0, int(x)) : int(x + size)].sum() >= LEAST_SEEN
    ]


def _starts(low: float, high: float, size: float) -> Iterator[float]:
    """Where windows begin along an axis: evenly, half a step beyond both ends at most."""
    count = max(1, int(np.ceil((high - low - size) / (STEP * size))) + 1)
    if count == 1:
        yield (low + high - size) / 2
        return
    yield from np.linspace(low, high - size, count).tolist()


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Logits of many windows on one frame (height, width); where windows overlap, their middles count most."""

    total: Array
    weight: Array

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Mosaic:
        return cls(np.zeros(size, np.float32), np.zeros(size, np.float32))

    def add(self, logits: Array, window: CropWindow) -> None:
        """One window's logits (side, side)."""
        ramp = 1 - np.abs(np.linspace(-1, 1, logits.shape[0], dtype=np.float32))
        near: Array = (np.minimum(np.outer(ramp, ramp), 0.25) + 0.01).astype(np.float32)
        self.total[:] += window.put_back(logits * near, self.total.shape, 0.0)
        self.weight[:] += window.put_back(near, self.total.shape, 0.0)

    def logits(self, outside: float) -> Array:
        """(height, width), ``outside`` where no window was."""
        seen = self.weight > 0
        return np.where(seen, self.total / np.where(seen, self.weight, 1), outside).astype(np.float32)
