"""How much of a structure's border can be seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIDE = 128  # at which it is measured; larger crops are averaged down
REACH = 2.0  # pixels (standard deviation) within which the two sides of a border are compared
LEAST_NOISE = 0.06  # differences below it cannot be seen, in units of prompt maps
CLEAR = 1.0  # noise deviations between both sides from which on a border is seen


def visible_share(colors: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Share (0 to 1) of the border of ``mask`` (S, S) whose sides differ in one of ``colors`` (C, S, S) at least."""
    if mask.shape[0] > SIDE:
        step = mask.shape[0] // SIDE
        colors, mask = _averaged(colors, step), _averaged(mask.astype(np.float32), step) > 0.5
    border = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask)
    if border.sum() < 8:
        return 0.0
    inside = mask.astype(np.float32)
    outside = 1 - inside
    weights = [_near(inside) + 1e-3, _near(outside) + 1e-3]
    contrast = np.zeros(mask.shape, np.float32)
    distinct = colors[:1] if np.ptp(colors, axis=0).max() < 1e-4 else colors
    for color in distinct:
        means, variances = [], []
        for side, weight in zip((inside, outside), weights, strict=True):
            means.append(_near(color * side) / weight)
            variances.append(np.maximum(_near(color * color * side) / weight - means[-1] ** 2, 0))
        noise = np.sqrt((variances[0] + variances[1]) / 2) + LEAST_NOISE
        contrast = np.maximum(contrast, np.abs(means[0] - means[1]) / noise)
    return float((contrast[border] > CLEAR).mean())


def _near(field: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(field, REACH, truncate=2.5))


def _averaged(field: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    *leading, height, width = field.shape
    return np.asarray(field.reshape(*leading, height // step, step, width // step, step).mean(axis=(-3, -1)))
