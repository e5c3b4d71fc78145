"""Pictures that show the same things in other places and sizes, for tests of what is found by an example."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def blob_picture(seed: int, x: float, y: float, radius: float, shown: bool = True) -> Picture:
    """A bright striped ellipse at (x, y) on an uneven ground with another bright disc, and its mask."""
    down, across = np.mgrid[:120, :150]
    mask = ((down - y) / 1.3) ** 2 + (across - x) ** 2 < radius**2
    gray = 60 + 20 * np.sin(across / 30 + seed) + 15 * np.cos(down / 25)
    if shown:
        gray = np.where(mask, 150 + 10 * np.sin(across / 3), gray)
    gray = np.where((down - 100) ** 2 + (across - 25) ** 2 < 150, 210, gray)
    noisy = gray + np.random.default_rng(seed).normal(0, 6, gray.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), mask & shown
