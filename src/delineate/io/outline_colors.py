"""Colors of outlines that stand out from a picture, and from each other."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.segmentation import Color, Segmentation

APART, FROM_GROUND = 60.0, 120.0  # least distance of two colors, and of a color from what lies beside it
HUES: Final = 24
# columns: half of the lightness, red against green, yellow against blue
_OPPONENT: Final = np.array([[0.15, 1.0, 0.5], [0.3, -1.0, 0.5], [0.05, 0.0, -1.0]])


def outline_colors(segmentation: Segmentation, pictures: Iterable[tuple[int, NDArray[np.uint8]]]) -> dict[str, Color]:
    """A color for each object: its own where that stands out from the pictures, else the one that does best.

    pictures  frames by number as they are shown, (height, width, 3)
    """
    grounds = _grounds(segmentation, pictures)
    offered = [tuple(round(255 * part) for part in colorsys.hsv_to_rgb(n / HUES, 0.9, 1.0)) for n in range(HUES)]
    chosen: dict[str, Color] = {}
    for one in segmentation.objects:
        ground = grounds.get(one.name, np.full((1, 3), 90.0))
        others = np.array(list(chosen.values()) or [(-999, -999, -999)], float)
        if _away(one.color, ground) >= FROM_GROUND and _away(one.color, others) >= APART:
            chosen[one.name] = one.color
            continue
        best = max(offered, key=lambda color: min(_away(color, ground), 2 * _away(color, others)))
        chosen[one.name] = (int(best[0]), int(best[1]), int(best[2]))
    return chosen


def _grounds(
    segmentation: Segmentation, pictures: Iterable[tuple[int, NDArray[np.uint8]]]
) -> dict[str, NDArray[np.float64]]:
    """The usual colors beside each object's outline, (frames, 3)."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for frame, picture in pictures:
        for one in segmentation.objects:
            mask = segmentation.mask(one.name, frame)
            if mask.any():
                ring = ndimage.binary_dilation(mask, iterations=3) & ~ndimage.binary_erosion(mask, iterations=3)
                found.setdefault(one.name, []).append(np.median(picture[ring].astype(float), axis=0))
    return {name: np.array(values) for name, values in found.items()}


def _away(color: Iterable[int], others: NDArray[np.float64]) -> float:
    """How far a color is from the nearest of some others, hue counting more than lightness."""
    return float(np.linalg.norm((np.array(list(color), float) - others) @ _OPPONENT, axis=1).min())
