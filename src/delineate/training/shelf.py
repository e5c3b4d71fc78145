"""What was read or computed lately, as much as fits: scans are opened when they are drawn, not all at the start."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np

from delineate.core.scan import ArrayFrames, Scan, VolumeFrames
from delineate.data.cases import LabeledScan

OPENED_BYTES, OPENED_MOST = 2e9, 64  # of scans that stay open; files, where frames are read one at a time
FRAMES_READ = 4  # of a video that its reader may keep
Kept = TypeVar("Kept")


class LRUCache(Generic[Kept]):
    """Keeps what was asked for last, and makes the rest again.

    most_bytes, most  that are kept, but the newest in any case
    size              bytes of one
    """

    def __init__(self, most_bytes: float, size: Callable[[Kept], float], most: int = 1_000_000) -> None:
        self.most_bytes, self.most, self.size = most_bytes, most, size
        self.bytes = 0.0
        self._kept: OrderedDict[Hashable, tuple[Kept, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What is kept under ``key``; else what ``make`` makes."""
        if key not in self._kept:
            value = make()
            size = self.size(value)
            self._kept[key] = value, size
            self.bytes += size
            while len(self._kept) > 1 and (self.bytes > self.most_bytes or len(self._kept) > self.most):
                _, (_, size) = self._kept.popitem(last=False)
                self.bytes -= size
            return value
        self._kept.move_to_end(key)
        return self._kept[key][0]


def opened_scans() -> LRUCache[LabeledScan]:
    """A shelf for opened scans: volumes count with all their voxels, videos with a few frames."""
    return LRUCache(OPENED_BYTES, lambda opened: _bytes_of(opened.scan) + _bytes_of(opened.labels), OPENED_MOST)


def _bytes_of(scan: Scan) -> float:
    whole = isinstance(scan.source, VolumeFrames | ArrayFrames)
    shape = scan.source.shape if whole else (min(FRAMES_READ, len(scan)), *scan.source.shape[1:])
    return float(np.prod(shape)) * scan.dtype.itemsize
