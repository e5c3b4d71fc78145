"""Two frames made comparable: their features and their intensities on one grid of the same number of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.frame import Frame
from delineate.fewshot.feature_map import Array, FeatureGrid, FeatureMap

CELLS = 48  # along a side
SMOOTHING = (0.0, 1.0, 2.5)  # cells
WHITENING, DAMPING = 0.5, 0.01  # 1 would be whole; a share of the mean variance
COLORED = 8.0  # difference between channels, in 8-bit grays, from which on a frame is in color


@dataclass(frozen=True, eq=False)
class Descriptors:
    """What is compared of a frame; cells cover it exactly, whatever its shape.

    features     (C, n, n), without their mean over the frame, whitened if asked for, each of length 1
    intensities  (k, n, n), about 0 to 1: gray values at several smoothings, their gradient, and color
    grid         of the cells
    """

    features: Array
    intensities: Array
    grid: FeatureGrid

    @classmethod
    def of(cls, frame: Frame, features: FeatureMap, cells: int = CELLS, whitening: Array | None = None) -> Descriptors:
        """Of a frame and its features; ``whitening`` (C, C) is applied to them."""
        height, width = frame.size
        grid = FeatureGrid.stretched(height, width, cells, cells)
        values = _centered(features, cells)
        if whitening is not None:
            values = (whitening @ values.reshape(len(values), -1)).reshape(values.shape)
        lengths = np.linalg.norm(values, axis=0, keepdims=True)
        return cls(np.asarray(values / np.maximum(lengths, 1e-6)), _intensities(frame, grid), grid)

    @cached_property
    def cells(self) -> int:
        return self.features.shape[1]

    def mask(self, mask: NDArray[np.bool_]) -> Array:
        """A mask (height, width) as the share of each cell (n, n) that it covers."""
        return np.asarray(self.grid.to_grid(mask) / self.grid.inside)


def whitening_of(maps: Sequence[FeatureMap], cells: int = CELLS) -> Array:
    """(C, C): features of frames like these with their variances drawn halfway to one another.

    A few directions hold most of what varies over a frame, such as bright against dark; cosines see little else.
    """
    flat = [_centered(one, cells).reshape(len(one.values), -1) for one in maps]
    variances, directions = np.linalg.eigh(np.sum([one @ one.T for one in flat], axis=0, dtype=np.float64))
    variances = np.maximum(variances, 0) + max(DAMPING * float(variances.mean()), 1e-12)
    return np.asarray((directions * variances ** (-WHITENING / 2)) @ directions.T, np.float32)


def _centered(features: FeatureMap, cells: int) -> Array:
    values = features.resampled(cells)
    return np.asarray(values - values.mean(axis=(1, 2), keepdims=True))


def gray_and_color(frame: Frame) -> list[Array]:
    """Gray values from the 1st to the 99th percentile as 0 to 1, and two color differences where there is color."""
    pixels = np.nan_to_num(frame.pixels.astype(np.float32))
    colors = pixels if pixels.ndim == 3 and pixels.shape[2] == 3 else None
    gray = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
    low, high = np.percentile(gray, (1, 99))
    spread = max(float(high - low), 1e-6)
    channels = [np.clip((gray - low) / spread, 0, 1).astype(np.float32)]
    if colors is not None and float(np.ptp(colors, axis=2).max()) * 255 > COLORED * max(float(colors.max()), 1e-6):
        channels += [(colors[..., n] - colors[..., 1]) / spread for n in (0, 2)]
    return channels


def _intensities(frame: Frame, grid: FeatureGrid) -> Array:
    maps: list[Array] = []
    for channel in gray_and_color(frame):
        cells = grid.to_grid(channel) / grid.inside
        maps += [ndimage.gaussian_filter(cells, sigma) if sigma else cells for sigma in SMOOTHING]
    maps.append(3 * ndimage.gaussian_gradient_magnitude(maps[0], 1))
    return np.stack(maps).astype(np.float32)
