"""Where the pixels of a scan come from: frames of an array, or slices of a volume, read when they are asked for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import DelineateWarning, InputError

Pixels = NDArray[Any]
CLOSED = "E-SCAN-CLOSED"


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


def readable(source: FrameSource, numbers: Iterable[int]) -> Iterator[tuple[int, Pixels]]:
    """Those of the frames that can be read, with their numbers.

    Raises InputError where none can, or the file was closed.
    """
    damaged: InputError | None = None
    some = False
    for number in numbers:
        try:
            pixels = source.read(number)
        except InputError as error:
            if error.code == CLOSED:
                raise
            damaged = damaged or error
            continue
        some = True
        yield number, pixels
    if damaged is not None and not some:
        raise damaged


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


class SteadyFrames:
    """Frames of a source that goes on where one is damaged: the last readable one before it, or else the first after
    it, stands in. Each is reported once, as a DelineateWarning.

    damaged  by number, what was said of it
    """

    def __init__(self, source: FrameSource) -> None:
        self.source = source
        self.damaged: dict[int, str] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    def read(self, index: int) -> Pixels:
        """Raises InputError where no frame of all can be read."""
        count = self.shape[0]
        first: InputError | None = None
        for number in (*range(index, -1, -1), *range(index + 1, count)):
            if number in self.damaged:
                continue
            try:
                pixels = self.source.read(number)
            except InputError as error:
                if error.code == CLOSED:
                    raise
                self.damaged[number] = error.message
                first = first or error
                continue
            if first is not None:
                text = f"{first.message} Frame {number} stands in for frame {index}."
                warnings.warn(text, DelineateWarning, stacklevel=2)
            return pixels
        raise first or InputError("E-FRAMES-DAMAGED", "No frame can be read.", "Copy or export the file again.")

    def close(self) -> None:
        if isinstance(self.source, ClosableSource):
            self.source.close()


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
