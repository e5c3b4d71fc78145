"""Scanner values turned into the 8-bit pictures that models of photographs expect."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# level and width in Hounsfield units (MedSAM's presets)
CT_WINDOWS: Final = {
    "abdomen": (40.0, 400.0), "lung": (-600.0, 1500.0), "brain": (40.0, 80.0), "mediastinum": (50.0, 350.0),
}  # fmt: skip
PERCENTILES = (0.5, 99.5)  # of the voxels that are not zero (MedSAM, pre_CT_MR)
AIR = -500.0  # grey frames with values below it are taken for CT


def eight_bit(frame: NDArray[Any], window: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """A frame (height, width[, 3]) as RGB (height, width, 3) uint8.

    8-bit frames stay as they are. Others are scaled by ``window`` (low, high) if given; else as CT in the abdominal
    window where values below -500 say that it is CT; else from the 0.5th to the 99.5th percentile of what is not zero,
    zeros staying black.
    """
    frame = frame[..., 0] if frame.ndim == 3 and frame.shape[2] == 1 else frame
    if frame.dtype != np.uint8:
        frame = _scaled(np.nan_to_num(np.asarray(frame, np.float32)), window)
    return np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame[..., :3]


def _scaled(values: NDArray[np.float32], window: tuple[float, float] | None) -> NDArray[np.uint8]:
    if window is None and values.ndim == 2 and values.size and values.min() < AIR:
        level, width = CT_WINDOWS["abdomen"]
        window = (level - width / 2, level + width / 2)
    zero = None
    if window is None:
        seen = values[values != 0]
        zero = values == 0
        window = tuple(np.percentile(seen, PERCENTILES)) if seen.size else (0.0, 1.0)
    low, high = window
    scaled = (np.clip(values, low, high) - low) / max(high - low, 1e-6) * 255
    if zero is not None and low > 0:
        scaled[zero] = 0
    return scaled.astype(np.uint8)
