"""Intensity windows, and what they are decided from: statistics of a whole scan, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.frame_source import FrameSource, Pixels

SAMPLED_VALUES: Final = 2**25  # larger scans are sampled evenly: every n-th value of every frame
ROBUST_PERCENTILES: Final = (0.1, 99.99)  # the range of a scan, without single odd voxels
DISPLAY_PERCENTILES: Final = (0.5, 99.5)  # of the values that are not zero


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

    def to_8bit(self, values: Pixels) -> NDArray[np.uint8]:
        """Values as grays, 0 to 255, fractions cut off (as MedSAM's preprocessing does)."""
        unit = (self.clip(values).astype(np.float64) - self.low) / (self.high - self.low)
        return (unit * 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class IntensityStatistics:
    """Of the finite values of a scan.

    minimum, maximum     of all
    robust               0.1st and 99.99th percentile of all
    nonzero              0.5th and 99.5th percentile of those that are not zero
    """

    minimum: float
    maximum: float
    robust: tuple[float, float]
    nonzero: tuple[float, float]

    @classmethod
    def of(cls, values: Pixels) -> IntensityStatistics:
        """Of an array of any shape; values that are not finite do not take part."""
        values = values.astype(np.uint8) if values.dtype == bool else values
        values = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
        if not values.size:
            return cls(0.0, 0.0, (0.0, 0.0), (0.0, 0.0))
        nonzero = values[values != 0]
        return cls(
            float(values.min()),
            float(values.max()),
            _percentiles(values, ROBUST_PERCENTILES),
            _percentiles(nonzero, DISPLAY_PERCENTILES) if nonzero.size else (0.0, 0.0),
        )

    @property
    def look_like_hounsfield(self) -> bool:
        """Whether there is air at about -1000 and something denser than water: CT."""
        low, high = self.robust
        return -4096 <= low <= -900 and 200 < high < 32768

    @property
    def display_range(self) -> tuple[float, float]:
        """Percentiles of what is not zero; the full range where these are one number; never empty."""
        low, high = self.nonzero
        if low >= high:
            low, high = self.minimum, self.maximum
        return (low, high) if low < high else (low, low + max(1.0, abs(low)))


def _percentiles(values: Pixels, percentiles: tuple[float, float]) -> tuple[float, float]:
    low, high = np.percentile(values, percentiles)
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Intensities:
    """The intensities of a whole scan.

    source       its frames
    most_frames  of a video: so many frames, evenly spaced, stand for all; None: all frames are read
    """

    source: FrameSource
    most_frames: int | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    @cached_property
    def statistics(self) -> IntensityStatistics:
        """Computed when they are first needed: the scan is read through once."""
        frames, values_each = self.source.shape[0], int(np.prod(self.source.shape[1:]))
        count = min(frames, self.most_frames or frames)
        numbers = np.unique(np.linspace(0, frames - 1, count).astype(int))
        step = max(1, -(-len(numbers) * values_each // SAMPLED_VALUES))
        return IntensityStatistics.of(np.concatenate([self.source.read(int(n)).ravel()[::step] for n in numbers]))
