"""A picture as text, so that a record that holds one is one file: PNG in base64."""

from __future__ import annotations

import base64
import binascii
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST: Final = 1024  # side that is kept
MOST_PIXELS: Final = LONGEST**2
WHITE: Final = 65535


def shrunk(values: NDArray[Any]) -> NDArray[Any]:
    """Pixels or a mask (height, width[, channels]), every n-th of them, so that no side is longer than LONGEST."""
    step = -(-max(values.shape[:2]) // LONGEST)
    return values[::step, ::step]


def text_of(pixels: NDArray[Any]) -> str:
    """Pixels (height, width[, 3]) as text: 8-bit ones as they are, others from least to greatest in 16 bit, gray."""
    if pixels.dtype != np.uint8:
        low, high = extent_of(pixels)
        unit = (np.nan_to_num(_gray(pixels), nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-12)
        pixels = np.rint(unit.clip(0, 1) * WHITE).astype(np.uint16)
    data = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")


def extent_of(pixels: NDArray[Any]) -> tuple[float, float]:
    """What black and white of the 16-bit picture stand for: its least and its greatest finite gray."""
    gray = _gray(pixels)
    finite = gray[np.isfinite(gray)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _gray(pixels: NDArray[Any]) -> NDArray[np.float64]:
    values = pixels.astype(np.float64)
    return values if values.ndim == 2 else values.mean(axis=2)


def pixels_of(text: str) -> NDArray[Any]:
    """The pixels again. Raises ValueError for what is no such picture, and for one that is too large."""
    try:
        with Image.open(BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
            if picture.mode == "RGB" or picture.mode == "L":
                return np.asarray(picture).copy()
            return np.asarray(picture.convert("I")).astype(np.uint16)
    except (OSError, SyntaxError, binascii.Error, Image.DecompressionBombError) as error:
        raise ValueError(f"it is no PNG picture: {error}") from None
