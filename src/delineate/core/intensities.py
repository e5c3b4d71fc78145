"""Intensity windows, and what they are decided from: statistics of a whole scan, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.frame_source import ArrayFrames, FrameSource, Pixels, readable

SAMPLED_VALUES: Final = 2**25  # larger scans of fractions are sampled evenly: every n-th value of every frame
COUNTED_BITS: Final = 16  # whole numbers of so many bits are counted, so that percentiles are exact at any size
BLOCK: Final = 2**20  # values that are counted at a time
ROBUST_PERCENTILES: Final = (0.1, 99.99)  # the range of a scan, without single odd voxels
DISPLAY_PERCENTILES: Final = (0.5, 99.5)  # of the values above zero (MedSAM)


@dataclass(frozen=True, slots=True)
class IntensityWindow:
    """The intensities shown as black and as white.

    low, high  in the units of the scan: Hounsfield units for CT
    source     who decided: the name of a preset, "percentiles of the scan", ...

    Raises InputError unless both are numbers and ``low`` is below ``high``.
    """

    low: float
    high: float
    source: str = "given"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise InputError(
                "E-WINDOW",
                f"An intensity window goes from a low to a higher number, not from {self.low:g} to {self.high:g}.",
                "Give LOW,HIGH, such as --window -160,240.",
            )

    def clip(self, values: Pixels) -> NDArray[Any]:
        """Values brought into the window: NaN and -inf become ``low``, +inf becomes ``high``."""
        clipped = np.clip(values, self.low, self.high)
        return np.where(np.isnan(clipped), self.low, clipped) if values.dtype.kind == "f" else clipped

    def narrowed(self, minimum: float, maximum: float) -> IntensityWindow:
        """This window without what a scan from ``minimum`` to ``maximum`` has no values for; itself if nothing is left.

        MedSAM's preprocessing clips a scan and then stretches what is there to 0 and 255.
        """
        low, high = max(self.low, minimum), min(self.high, maximum)
        return replace(self, low=low, high=high) if low < high else self

    def to_8bit(self, values: Pixels) -> NDArray[np.uint8]:
        """Values as grays, 0 to 255, fractions cut off, in the precision of MedSAM's preprocessing."""
        single = values.dtype.kind == "f" and values.dtype.itemsize == 4
        low, high, white = np.array([self.low, self.high, 255], np.float32 if single else np.float64)
        unit: NDArray[Any] = (self.clip(values).astype(low.dtype) - low) / (high - low)
        return (unit * white).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class IntensityStatistics:
    """Of the finite values of a scan.

    minimum, maximum     of all
    robust               0.1st and 99.99th percentile of all
    positive             0.5th and 99.5th percentile of those above zero
    """

    minimum: float
    maximum: float
    robust: tuple[float, float]
    positive: tuple[float, float]

    @classmethod
    def of(cls, values: Pixels) -> IntensityStatistics:
        """Of an array of any shape; values that are not finite do not take part."""
        values = values.astype(np.uint8) if values.dtype == bool else values
        values = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
        if not values.size:
            return cls(0.0, 0.0, (0.0, 0.0), (0.0, 0.0))
        above = values[values > 0]
        return cls(
            float(values.min()),
            float(values.max()),
            _percentiles(values, ROBUST_PERCENTILES),
            _percentiles(above, DISPLAY_PERCENTILES) if above.size else (0.0, 0.0),
        )

    @classmethod
    def counted(cls, counts: NDArray[np.int64], first: int) -> IntensityStatistics:
        """Of whole numbers, told by how often each of them occurs from ``first`` on; exact."""
        there = np.flatnonzero(counts)
        if not there.size:
            return cls(0.0, 0.0, (0.0, 0.0), (0.0, 0.0))
        above = counts.copy()
        above[: max(0, 1 - first)] = 0
        return cls(
            float(there[0] + first),
            float(there[-1] + first),
            _counted_percentiles(counts, first, ROBUST_PERCENTILES),
            _counted_percentiles(above, first, DISPLAY_PERCENTILES) if above.any() else (0.0, 0.0),
        )

    @property
    def look_like_hounsfield(self) -> bool:
        """Whether there is air at about -1000 and something denser than water: CT."""
        low, high = self.robust
        return -4096 <= low <= -900 and 200 < high < 32768

    @property
    def display_range(self) -> tuple[float, float]:
        """Percentiles of what is above zero; the full range where these are one number; never empty."""
        low, high = self.positive
        if low >= high:
            low, high = self.minimum, self.maximum
        return (low, high) if low < high else (low, low + max(1.0, abs(low)))


def _percentiles(values: Pixels, percentiles: tuple[float, float]) -> tuple[float, float]:
    low, high = np.percentile(values, percentiles)
    return float(low), float(high)


def _counted_percentiles(
    counts: NDArray[np.int64], first: int, percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Percentiles as numpy interpolates them between the two values next to their place in order."""
    upto = counts.cumsum()
    found = []
    for percentile in percentiles:
        place = (int(upto[-1]) - 1) * (percentile / 100)
        low, share = int(place), place - int(place)
        one, other = (float(np.searchsorted(upto, n, side="right") + first) for n in (low, min(low + 1, upto[-1] - 1)))
        found.append(one + (other - one) * share if share < 0.5 else other - (other - one) * (1 - share))
    return found[0], found[1]


@dataclass(frozen=True, eq=False)
class Intensities:
    """The intensities of a whole scan.

    source       its frames
    most_frames  of a video: so many frames, evenly spaced, stand for all; None: all frames are read
    """

    source: FrameSource
    most_frames: int | None = None

    @classmethod
    def known(cls, pixels: Pixels, statistics: IntensityStatistics) -> Intensities:
        """Those of a scan that is not there: one frame of it, and what was found of all."""
        one = cls(ArrayFrames(pixels[None]))
        one.__dict__["statistics"] = statistics  # as if they had been computed
        return one

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of all finite values; computed when first needed."""
        count, mean, squares = 0, 0.0, 0.0  # squares of what values differ from their mean: none of great numbers
        for n in self._numbers:
            values = self.source.read(n).astype(np.float64)
            values = values[np.isfinite(values)]
            if not values.size:
                continue
            own, before = float(values.mean()), count
            count += values.size
            squares += float(((values - own) ** 2).sum()) + (own - mean) ** 2 * before * values.size / count
            mean += (own - mean) * values.size / count
        return mean, float(np.sqrt(squares / max(count, 1)))

    @cached_property
    def statistics(self) -> IntensityStatistics:
        """Computed when they are first needed: the scan is read through once. Least and greatest value are exact.

        Frames that cannot be read do not take part: whoever needs one of them is told.
        """
        numbers = self._numbers
        if self.dtype.kind in "iu" and self.dtype.itemsize * 8 <= COUNTED_BITS:
            first = int(np.iinfo(self.dtype).min)
            counts = np.zeros(2 ** (self.dtype.itemsize * 8), np.int64)
            for _, values in readable(self.source, numbers):
                flat = values.ravel()
                for start in range(0, flat.size, BLOCK):
                    block = flat[start : start + BLOCK].astype(np.int64)
                    counts += np.bincount(block - first, minlength=len(counts))
            return IntensityStatistics.counted(counts, first)
        step = max(1, -(-len(numbers) * int(np.prod(self.source.shape[1:])) // SAMPLED_VALUES))
        sample, extents = [], []
        for _, values in readable(self.source, numbers):
            sample.append(values.ravel()[::step])
            extents.append(_extent(values))
        found = IntensityStatistics.of(np.concatenate(sample))
        low, high = _around(extents)
        return replace(found, minimum=low, maximum=high)

    @cached_property
    def extent(self) -> tuple[float, float]:
        """The least and the greatest finite value: all that is needed of a scan whose window is known."""
        if "statistics" in self.__dict__:
            return self.statistics.minimum, self.statistics.maximum
        return _around([_extent(values) for _, values in readable(self.source, self._numbers)])

    @property
    def _numbers(self) -> list[int]:
        """The frames that are looked at."""
        frames = self.source.shape[0]
        count = min(frames, self.most_frames or frames)
        return [int(n) for n in np.unique(np.linspace(0, frames - 1, count).astype(int))]


def _extent(values: Pixels) -> tuple[float, float] | None:
    """The least and the greatest finite value; None where there is none."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return (float(finite.min()), float(finite.max())) if finite.size else None


def _around(extents: Sequence[tuple[float, float] | None]) -> tuple[float, float]:
    """From the least to the greatest of all; 0 and 0 where there is no value."""
    known = [one for one in extents if one is not None]
    return (min(one[0] for one in known), max(one[1] for one in known)) if known else (0.0, 0.0)
