"""Frames as people look at them: 8-bit pictures for overlays and previews. Models never see these."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.scan import ModalityName, Scan, ScanKind

CT_SOFT_TISSUE = (-160.0, 240.0)  # Hounsfield units


def display_window(scan: Scan) -> tuple[float, float]:
    """(low, high) to show: as chosen, the file's own, soft tissue for CT, else the 1st to 99.5th percentile."""
    if scan.intensity_window is not None:
        return scan.intensity_window.low, scan.intensity_window.high
    if scan.window is not None:
        return scan.window
    if scan.modality.name is ModalityName.CT and scan.dtype.kind in "if" and scan.dtype != np.uint8:
        return CT_SOFT_TISSUE
    if scan.dtype == np.uint8 and scan.kind is not ScanKind.VOLUME:
        return 0.0, 255.0
    numbers = np.unique(np.linspace(0, len(scan) - 1, min(len(scan), 7)).astype(int))
    sample = np.concatenate([np.asarray(scan.pixels(int(n)), np.float32).ravel()[::7] for n in numbers])
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(sample, (1, 99.5)))
    return (low, high) if high > low else (low, low + 1.0)


def shown(frame: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """A frame (height, width[, 3]) as RGB (height, width, 3) uint8."""
    low, high = window
    scaled = (np.nan_to_num(np.asarray(frame, np.float32), nan=low) - low) / (high - low)
    grey = (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
    return grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)
