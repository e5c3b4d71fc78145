"""A mask as run lengths: what makes an hour of video fit in memory, and what COCO files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask2D = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # x0, y0, x1, y1, half-open


@dataclass(frozen=True, slots=True, eq=False)
class Rle:
    """Run lengths of a (height, width) mask, read column by column as COCO does, starting with background.

    counts  uint32, lengths of alternating background and foreground runs; the first may be 0
    """

    height: int
    width: int
    counts: NDArray[np.uint32]

    def __post_init__(self) -> None:
        given = np.asarray(self.counts, dtype=np.int64)
        if given.ndim != 1 or (given < 0).any() or given.sum() != self.height * self.width:
            raise ValueError(f"Runs of {given.sum()} pixels do not fill {self.height} x {self.width}.")
        counts = given.astype(np.uint32)
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    @classmethod
    def encode(cls, mask: Mask2D) -> Rle:
        """The runs of a boolean mask (height, width)."""
        flat = np.asarray(mask, dtype=bool).ravel(order="F")
        edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        counts = np.diff(np.concatenate(([0], edges, [flat.size])))
        if flat.size and flat[0]:
            counts = np.concatenate(([0], counts))
        return cls(mask.shape[0], mask.shape[1], counts)

    def decode(self) -> Mask2D:
        """The boolean mask (height, width)."""
        values = np.arange(len(self.counts)) % 2 == 1
        return np.repeat(values, self.counts).reshape((self.height, self.width), order="F")

    @property
    def area(self) -> int:
        """Foreground pixels."""
        return int(self.counts[1::2].sum())

    @property
    def runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where foreground runs start and stop (excluded) in the mask read column by column; empty runs left out."""
        edges = np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64)))
        starts, stops = edges[1:-1:2], edges[2::2]
        filled = stops > starts
        return starts[filled], stops[filled]

    @property
    def box(self) -> Box | None:
        """The smallest box (x0, y0, x1, y1), half-open, around the foreground; None if there is none."""
        starts, stops = self.runs
        if not len(starts):
            return None
        first, last = starts // self.height, (stops - 1) // self.height
        x0, x1 = int(first[0]), int(last[-1]) + 1
        if (last > first).any():  # a run that goes on in the next column touches the lower and the upper edge
            return x0, 0, x1, self.height
        return x0, int((starts % self.height).min()), x1, int(((stops - 1) % self.height).max()) + 1

    def columns(self, first: int, stop: int) -> Mask2D:
        """The mask's columns ``first`` to ``stop`` (excluded): (height, columns)."""
        low, high = first * self.height, stop * self.height
        edges = np.clip(np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64))), low, high)
        values = np.arange(len(self.counts)) % 2 == 1
        return np.repeat(values, np.diff(edges)).reshape((self.height, stop - first), order="F")

    def intersection(self, other: Rle) -> int:
        """Pixels both masks of one size hold."""
        starts, stops = self.runs
        others, ends = other.runs
        if not len(starts) or not len(others):
            return 0
        before = np.concatenate(([0], np.cumsum(ends - others)))  # the other's foreground before each of its runs

        def foreground_before(places: NDArray[np.int64]) -> NDArray[np.int64]:
            run = np.searchsorted(others, places, side="right") - 1
            inside = np.minimum(places, ends[run]) - others[run]
            return np.where(run < 0, 0, before[run] + inside)

        return int((foreground_before(stops) - foreground_before(starts)).sum())

    def union(self, other: Rle) -> Rle:
        """The pixels of either of two masks of one size."""
        return Rle.union_of((self, other))

    @classmethod
    def union_of(cls, masks: Sequence[Rle]) -> Rle:
        """The pixels of any of several masks, one at least, of one size."""
        starts, stops = zip(*(mask.runs for mask in masks), strict=True)
        return cls._of_runs(masks[0].height, masks[0].width, np.concatenate(starts), np.concatenate(stops))

    def placed(self, x: int, y: int, height: int, width: int) -> Rle:
        """This mask as a part of a larger one (height, width), its upper left pixel at (x, y)."""
        column, top, bottom = self._strips()
        offset = (column + x) * height + y
        return Rle._of_runs(height, width, offset + top, offset + bottom)

    def enlarged(self, factor: int) -> Rle:
        """Every pixel as ``factor`` x ``factor`` pixels."""
        column, top, bottom = (np.repeat(part, factor) * factor for part in self._strips())
        column += np.arange(len(column)) % factor
        height = self.height * factor
        return Rle._of_runs(height, self.width * factor, column * height + top, column * height + bottom)

    def _strips(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The foreground as strips within one column each: column, first row, row behind the last."""
        starts, stops = self.runs
        first, last = starts // self.height, (stops - 1) // self.height
        pieces = last - first + 1  # a run is cut where a column ends
        run = np.repeat(np.arange(len(starts)), pieces)
        column = np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + first[run]
        top = column * self.height
        return column, np.maximum(starts[run], top) - top, np.minimum(stops[run], top + self.height) - top

    @classmethod
    def _of_runs(cls, height: int, width: int, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Rle:
        """Foreground runs in any order, which may touch or overlap."""
        if not len(starts):
            return cls(height, width, np.array([height * width]))
        order = np.argsort(starts, kind="stable")
        starts, reached = starts[order], np.maximum.accumulate(stops[order])
        fresh = np.concatenate(([True], starts[1:] > reached[:-1]))
        starts, stops = starts[fresh], reached[np.concatenate((fresh[1:], [True]))]
        edges = np.concatenate(([0], np.stack([starts, stops], axis=1).ravel(), [height * width]))
        counts = np.diff(edges)
        return cls(height, width, counts if counts[-1] else counts[:-1])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rle):
            return NotImplemented
        same_size = (self.height, self.width) == (other.height, other.width)
        return same_size and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self.height, self.width, self.counts.tobytes()))
