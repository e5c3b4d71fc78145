"""Where the pixels of a scan come from: frames of an array, or slices of a volume, read when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]


class FrameSource(Protocol):
    """Where the pixels come from; frames are read when they are asked for.

    shape  (frames, height, width) or (frames, height, width, channels)
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def read(self, index: int) -> Pixels:
        """Frame ``index`` as (height, width[, channels]) in the file's own data type."""
        ...


@runtime_checkable
class ClosableSource(Protocol):
    """A source that holds a file open."""

    def close(self) -> None:
        """Let go of the file, for good."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayFrames:
    """Frames of an array in memory: (frames, height, width[, channels])."""

    array: Pixels

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def read(self, index: int) -> Pixels:
        return np.asarray(self.array[index])


@dataclass(frozen=True, slots=True)
class VolumeFrames:
    """Slices of a volume along one of its axes.

    voxels      (i, j, k[, channels]); anything that indexes like an array and reads lazily will do
    slice_axis  0, 1 or 2. In a slice the first remaining axis runs to the right (x), the second one down (y).
    """

    voxels: Any
    slice_axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        x_axis, y_axis = (axis for axis in range(3) if axis != self.slice_axis)
        sizes = self.voxels.shape
        return (sizes[self.slice_axis], sizes[y_axis], sizes[x_axis], *sizes[3:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.voxels.dtype)

    def read(self, index: int) -> Pixels:
        cut = tuple(index if axis == self.slice_axis else slice(None) for axis in range(3))
        return np.asarray(self.voxels[cut]).swapaxes(0, 1)
