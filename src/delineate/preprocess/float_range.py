"""Numbers out of float32's reach: brought into it before anything is computed, the same way for a whole scan."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.intensities import IntensityStatistics

Range = tuple[float, float]

LARGEST, SMALLEST = 1e30, 1e-30  # beyond them products and quotients leave float32; no scanner measures such
FEWEST_STEPS: Final = 2.0**12  # of float32 within the range of a scan


def within_float32(pixels: NDArray[Any], whole: Callable[[], Range]) -> NDArray[Any]:
    """Pixels of a frame as they are where float32 tells them apart, which is all but always.

    Else (an offset of 3e10, values of 1e38 or 1e-38, 64-bit counters) they go from 0 to 1 over the range of the whole
    scan: they are shifted in their own precision, then scaled. Values beyond LARGEST among ordinary ones, with which
    some files fill gaps, become NaN.

    whole  the range of the scan's values; only asked for where a frame is out of reach
    """
    few_digits = pixels.dtype.kind not in "uif" or pixels.dtype.itemsize <= 2
    if few_digits or _in_reach(_range_of(pixels), pixels.dtype):
        return pixels
    low, high = whole()
    if pixels.dtype.kind != "f":
        return (_less(pixels, low) / max(high - low, 1.0)).astype(np.float32)
    if low < high and not _in_reach((low, high), pixels.dtype):
        return (_less(pixels, low) / (high - low)).astype(np.float32)
    return np.where(np.abs(pixels) > LARGEST, np.nan, pixels)


def scan_range(statistics: IntensityStatistics) -> Range:
    """The range of a scan without single odd values, where it has one."""
    low, high = statistics.robust
    return (low, high) if low < high else (statistics.minimum, statistics.maximum)


def _in_reach(values: Range, dtype: np.dtype[Any]) -> bool:
    """Whether float32 can compute with numbers between two, and has steps enough between them; one number has."""
    low, high = values
    largest = max(abs(low), abs(high))
    if largest > LARGEST or 0 < high - low < SMALLEST:
        return False
    return low == high or dtype == np.float32 or (high - low) * 2**23 >= FEWEST_STEPS * largest


def _range_of(pixels: NDArray[Any]) -> Range:
    """The least and the greatest finite value; 0 and 0 where there is none."""
    low, high = pixels.min().item(), pixels.max().item()
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    finite = pixels[np.isfinite(pixels)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _less(pixels: NDArray[Any], low: float) -> NDArray[np.float64]:
    """Pixels less a number; integers are subtracted as such, as float64 would lose the last digits of large ones."""
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float64) - low
    return (pixels.astype(np.uint64) - np.uint64(int(low) % 2**64)).view(np.int64).astype(np.float64)
