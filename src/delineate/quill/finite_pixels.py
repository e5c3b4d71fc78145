"""The numbers of a frame as Quill takes them, before any crop is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.preprocess.float_range import scan_range, within_float32
from delineate.preprocess.intensity import WindowRule, frame_window


def finite_pixels(frame: Frame) -> NDArray[Any]:
    """A frame's pixels (height, width[, 3]) within float32.

    Where a person chose an intensity window, values are brought into that; else numbers that are not finite become the
    smallest one. Raises ModelError for what is neither gray nor RGB.
    """
    pixels, window = frame.pixels, frame_window(frame, WindowRule.CROP)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
        raise ModelError(
            "E-FRAME-SHAPE",
            f"Quill takes gray or RGB frames, not an array of shape {pixels.shape}.",
            "Give an array (height, width) or (height, width, 3).",
        )
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if window is not None:
        return within_float32(window.clip(pixels), lambda: (window.low, window.high))
    pixels = within_float32(pixels, lambda: scan_range(frame.intensities.statistics))
    if pixels.dtype.kind == "f":
        finite = np.isfinite(pixels)
        if not finite.all():
            pixels = np.where(finite, pixels, pixels[finite].min() if finite.any() else 0)
    return pixels
