"""What few-shot systems compare: a vector for each cell of a grid laid over a frame, and the way between the two."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.preprocess.fitting import Fitted

Array = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureGrid:
    """A grid of cells over a frame. Cell n covers n to n + 1, as pixel n does.

    height, width  of the frame, in pixels
    rows, columns  of the grid
    scale          cells for each pixel, along y and x
    origin         where the frame's upper left corner lies, in cells, (y, x)
    """

    height: int
    width: int
    rows: int
    columns: int
    scale: tuple[float, float]
    origin: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def stretched(cls, height: int, width: int, rows: int, columns: int) -> FeatureGrid:
        """A grid that covers the frame exactly."""
        return cls(height, width, rows, columns, (rows / height, columns / width))

    @classmethod
    def fitted(cls, place: Fitted, rows: int, columns: int) -> FeatureGrid:
        """The grid of a network whose square input the frame was fitted into, padding included."""
        down, across = rows / place.side, columns / place.side
        across_scale, down_scale = place.scale
        return cls(
            place.height,
            place.width,
            rows,
            columns,
            (down_scale * down, across_scale * across),
            (place.top * down, place.left * across),
        )

    @cached_property
    def _coverage(self) -> tuple[Array, Array]:
        """(rows, height) and (columns, width): the share of each cell that a pixel covers."""
        return (
            _covered(self.rows, self.height, self.scale[0], self.origin[0]),
            _covered(self.columns, self.width, self.scale[1], self.origin[1]),
        )

    @cached_property
    def _interpolation(self) -> tuple[Array, Array]:
        """(height, rows) and (width, columns): weights of the cells for each pixel's center."""
        return (
            _linear(self.height, self.rows, self.scale[0], self.origin[0]),
            _linear(self.width, self.columns, self.scale[1], self.origin[1]),
        )

    @cached_property
    def inside(self) -> Array:
        """(rows, columns): the share of each cell that lies on the frame; the rest is padding."""
        down, across = self._coverage
        return np.outer(down.sum(axis=1), across.sum(axis=1)).astype(np.float32)

    def to_grid(self, values: NDArray[Any]) -> Array:
        """Values or a mask (height, width) -> (rows, columns): the mean over each cell; 0 beyond the frame."""
        down, across = self._coverage
        return np.asarray(down @ values.astype(np.float32) @ across.T)

    def to_frame(self, values: NDArray[Any]) -> Array:
        """Values (..., rows, columns) -> (..., height, width), bilinear between the centers of cells."""
        down, across = self._interpolation
        return np.asarray(down @ values.astype(np.float32) @ across.T)


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Features of a frame.

    values  float32 (C, rows, columns)
    grid    where its cells lie on the frame
    """

    values: Array
    grid: FeatureGrid

    @cached_property
    def unit(self) -> Array:
        """The same vectors, each of length 1."""
        lengths = np.linalg.norm(self.values, axis=0, keepdims=True)
        return np.asarray(self.values / np.maximum(lengths, np.float32(1e-4)))

    def resampled(self, cells: int) -> Array:
        """(C, cells, cells), bilinear, over the frame alone: no padding, each side its whole length."""
        grid = self.grid
        down = _linear(cells, grid.rows, grid.scale[0] * grid.height / cells, grid.origin[0])
        across = _linear(cells, grid.columns, grid.scale[1] * grid.width / cells, grid.origin[1])
        return np.asarray(down @ self.values @ across.T)


@runtime_checkable
class FeatureExtractor(Protocol):
    """What describes frames: DINOv2, the image encoder of a promptable system, Quill's encoder.

    name    as tables and manifests say it
    stride  pixels of the network's own input for each cell, one side
    """

    @property
    def name(self) -> str: ...

    @property
    def stride(self) -> int: ...

    def features(self, frame: Frame) -> FeatureMap:
        """Describe a frame, gray or of three colors, of any data type."""
        ...


def _covered(cells: int, pixels: int, scale: float, origin: float) -> Array:
    edges = np.arange(cells + 1, dtype=np.float64)
    low = np.arange(pixels) * scale + origin
    shared = np.minimum(edges[1:, None], low[None] + scale) - np.maximum(edges[:-1, None], low[None])
    return np.clip(shared, 0, None).astype(np.float32)


def _linear(pixels: int, cells: int, scale: float, origin: float) -> Array:
    at = np.clip((np.arange(pixels) + 0.5) * scale + origin - 0.5, 0, cells - 1)
    low = np.minimum(at.astype(np.intp), max(cells - 2, 0))
    high, share = np.minimum(low + 1, cells - 1), (at - low).astype(np.float32)
    weights = np.zeros((pixels, cells), np.float32)
    np.add.at(weights, (np.arange(pixels), low), 1 - share)
    np.add.at(weights, (np.arange(pixels), high), share)
    return weights
