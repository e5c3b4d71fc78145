"""Frames as people look at them: 8-bit pictures for overlays and previews. Models never see these."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame_source import readable
from delineate.core.intensities import IntensityWindow
from delineate.core.scan import CheckedFrames, ModalityName, Scan, ScanKind

CT_SOFT_TISSUE = (-160.0, 240.0)  # Hounsfield units
SAMPLED_FRAMES = 7


def display_window(scan: Scan) -> tuple[float, float]:
    """(low, high) to show, as ``shown_window`` decides."""
    window = shown_window(scan)
    return window.low, window.high


def shown_window(scan: Scan) -> IntensityWindow:
    """As chosen, the file's own, soft tissue for CT, else the 1st to 99.5th percentile; its source says which."""
    if scan.intensity_window is not None:
        return scan.intensity_window
    if scan.window is not None:
        return IntensityWindow(*scan.window, "the file's own window")
    if scan.modality.name is ModalityName.CT and scan.dtype.kind in "if" and scan.dtype != np.uint8:
        return IntensityWindow(*CT_SOFT_TISSUE, "soft tissue, as for CT")
    if scan.dtype == np.uint8 and scan.kind is not ScanKind.VOLUME:
        return IntensityWindow(0.0, 255.0, "all of 8 bits")
    numbers = np.unique(np.linspace(0, len(scan) - 1, min(len(scan), SAMPLED_FRAMES)).astype(int))
    frames = readable(CheckedFrames(scan), (int(n) for n in numbers))
    sample = np.concatenate([_exact(pixels.ravel()[::7]) for _, pixels in frames])
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return IntensityWindow(0.0, 1.0, "no value is finite")
    low, high = (float(v) for v in np.percentile(sample, (1, 99.5)))
    if high > low:
        return IntensityWindow(low, high, "1st to 99.5th percentile")
    return IntensityWindow(low, low + max(1.0, abs(low) * 1e-6), "the values hardly differ")


def shown(frame: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """A frame (height, width[, 3]) as RGB (height, width, 3) uint8."""
    low, high = window
    scaled = (np.nan_to_num(_exact(frame), nan=low) - low) / (high - low)
    gray = (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
    return gray if gray.ndim == 3 else np.repeat(gray[..., None], 3, axis=2)


def _exact(values: NDArray[Any]) -> NDArray[Any]:
    """As numbers with fractions that hold these values: float32 where it holds them all."""
    return np.asarray(values, np.float32 if values.dtype.itemsize <= 2 else np.float64)
