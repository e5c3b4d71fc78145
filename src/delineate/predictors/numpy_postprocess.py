"""From a network's logits to masks on the frame, in numpy: what ``answers`` does with tensors, where torch is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit

from delineate.preprocess.fitting import Array, Fitted
from delineate.preprocess.profiles import MaskDecoding
from delineate.preprocess.regions import small_parts

DRAWN = 10.0  # logit of a pixel inside a mask that was drawn, not predicted (SAM 2)


def masks_on_frame(logits: Array, place: Fitted, answer: MaskDecoding) -> NDArray[np.bool_]:
    """Logits (K, h, w) of a frame fitted at ``place`` -> bool (K, height, width), as each system does it."""
    return values_on_frame(logits, place, answer) > answer.threshold(0)


def values_on_frame(logits: Array, place: Fitted, answer: MaskDecoding) -> Array:
    """Logits (K, h, w) -> what is cut into masks, (K, height, width): logits, or probabilities."""
    size = (place.height, place.width)
    match answer:
        case MaskDecoding.LOGITS_DIRECT:
            return interpolated(logits, size)
        case MaskDecoding.SIGMOID_FIRST:
            return interpolated(expit(logits), size)
        case MaskDecoding.CROPPED:
            return interpolated(logits[:, : place.inner[0], : place.inner[1]], size)
        case MaskDecoding.LOGITS | MaskDecoding.CENTERED:
            whole = interpolated(logits, (place.side, place.side))
            rows = slice(place.top, place.top + place.inner[0])
            columns = slice(place.left, place.left + place.inner[1])
            return interpolated(whole[:, rows, columns], size)


def drawn_logits(mask: NDArray[np.bool_], place: Fitted, cells: int) -> Array:
    """A mask (height, width) as logits (cells, cells) for a mask prompt: +-10, softer along its border."""
    whole = np.zeros((place.side, place.side), np.float32)
    rows = slice(place.top, place.top + place.inner[0])
    whole[rows, place.left : place.left + place.inner[1]] = _antialiased(mask.astype(np.float32), place.inner) >= 0.5
    return _antialiased(whole * np.float32(2 * DRAWN) - np.float32(DRAWN), (cells, cells))


def stability(values: Array, answer: MaskDecoding, offset: float) -> NDArray[np.float32]:
    """IoU of a mask with itself when the threshold is moved by +-offset logits; ``values`` as ``values_on_frame``."""
    inner, outer = ((values > answer.threshold(cut)).sum(axis=(1, 2)) for cut in (offset, -offset))
    return (inner / np.maximum(outer, 1)).astype(np.float32)


def tidied(logits: Array, area: int, filled: float) -> Array:
    """Logits (K, h, w) with holes and specks of up to ``area`` pixels given the logit +-``filled``; 0: as they are."""
    if not area:
        return logits
    small = [(small_parts(one <= 0, area), small_parts(one > 0, area)) for one in logits]
    holes, specks = (np.stack([one[n] for one in small]) for n in (0, 1))
    return np.where(holes, np.float32(filled), np.where(specks, np.float32(-filled), logits))


def interpolated(x: Array, size: tuple[int, int]) -> Array:
    """Maps (K, h, w) at another size: bilinear, pixels as areas, not smoothed where they shrink (torch's default)."""
    for axis, length in enumerate(size, start=1):
        if x.shape[axis] != length:
            low, high, share = _neighbors(x.shape[axis], length)
            share = share if axis == 2 else share[:, None]
            x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def _neighbors(before: int, after: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """For each new pixel along an axis the two old ones around its middle, and the share of the second."""
    half = np.float32(0.5)
    middle = np.maximum((np.arange(after, dtype=np.float32) + half) * np.float32(before / after) - half, 0)
    low = np.minimum(middle.astype(np.intp), before - 1)
    return low, np.minimum(low + 1, before - 1), middle - low.astype(np.float32)


def _antialiased(picture: Array, size: tuple[int, int]) -> Array:
    """A map (h, w) at another size: bilinear, smoothed where it shrinks."""
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR))
