"""A mask as run lengths: what makes an hour of video fit in memory, and what COCO files hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask2D = NDArray[np.bool_]


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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rle):
            return NotImplemented
        same_size = (self.height, self.width) == (other.height, other.width)
        return same_size and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self.height, self.width, self.counts.tobytes()))
