"""A square window on a frame: cut out at a network's resolution, and put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]


def resize(channel: Array, size: tuple[int, int], box: tuple[float, float, float, float] | None = None) -> Array:
    """One channel (height, width) at another size (width, height), smoothed where it shrinks; ``box`` picks a part."""
    picture = Image.fromarray(np.ascontiguousarray(channel, dtype=np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))


@dataclass(frozen=True)
class CropWindow:
    """A square on a frame.

    x, y  its upper left corner, in pixel edges: pixel n covers n to n + 1
    size  its side in frame pixels
    """

    x: float
    y: float
    size: float

    @classmethod
    def around(cls, box: tuple[float, float, float, float], margin: float, least: float = 16.0) -> CropWindow:
        """The square around a box (x0, y0, x1, y1), ``margin`` times as long as its longer side."""
        x0, y0, x1, y1 = box
        size = max(max(x1 - x0, y1 - y0) * margin, least)
        return cls((x0 + x1 - size) / 2, (y0 + y1 - size) / 2, size)

    def within(self, height: int, width: int) -> CropWindow:
        """This window, or the whole frame (height, width) where that is smaller."""
        side = float(max(height, width))
        return self if self.size <= side else CropWindow((width - side) / 2, (height - side) / 2, side)

    def cut(self, frame: NDArray[Any], side: int) -> Array:
        """The window of a frame (height, width[, channels]) as float32 (side, side[, channels]).

        Beyond the frame its edge pixels are repeated.
        """
        height, width = frame.shape[:2]
        x0, y0 = int(np.floor(self.x)), int(np.floor(self.y))
        x1, y1 = int(np.ceil(self.x + self.size)), int(np.ceil(self.y + self.size))
        inner = frame[
            np.clip(y0, 0, height - 1) : np.clip(y1, 1, height), np.clip(x0, 0, width - 1) : np.clip(x1, 1, width)
        ].astype(np.float32)
        most = y1 - y0 - 1  # a window wholly beyond the frame still holds one row or column of it
        above, below = min(max(0, -y0), most), min(max(0, y1 - height), most)
        left, right = min(max(0, -x0), most), min(max(0, x1 - width), most)
        if above or below or left or right:
            inner = np.pad(inner, ((above, below), (left, right), *((0, 0),) * (frame.ndim - 2)), mode="edge")
        box = (self.x - x0, self.y - y0, self.x - x0 + self.size, self.y - y0 + self.size)
        if frame.ndim == 2:
            return resize(inner, (side, side), box)
        return np.stack([resize(inner[..., c], (side, side), box) for c in range(frame.shape[2])], axis=2)

    def to_crop(self, points: NDArray[Any], side: int) -> NDArray[np.float64]:
        """Frame points (N, 2), pixel centers at whole numbers, in pixels of the crop (also centered)."""
        scale = side / self.size
        return (np.asarray(points, dtype=float).reshape(-1, 2) + 0.5 - (self.x, self.y)) * scale - 0.5

    def put_back(self, crop: Array, shape: tuple[int, int], outside: float) -> Array:
        """A crop (side, side) at the frame's resolution: (height, width), ``outside`` beyond the window."""
        height, width = shape
        out = np.full(shape, outside, dtype=np.float32)
        x0, y0 = max(0, int(np.ceil(self.x))), max(0, int(np.ceil(self.y)))
        x1, y1 = min(width, int(np.floor(self.x + self.size))), min(height, int(np.floor(self.y + self.size)))
        if x1 <= x0 or y1 <= y0:
            return out
        scale = crop.shape[0] / self.size
        box = ((x0 - self.x) * scale, (y0 - self.y) * scale, (x1 - self.x) * scale, (y1 - self.y) * scale)
        side = float(crop.shape[0])
        out[y0:y1, x0:x1] = resize(crop, (x1 - x0, y1 - y0), tuple(min(max(v, 0.0), side) for v in box))
        return out
