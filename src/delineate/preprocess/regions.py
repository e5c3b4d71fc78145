"""Connected parts of masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def small_parts(regions: NDArray[np.bool_], area: int) -> NDArray[np.bool_]:
    """The connected parts (pixels that touch at a corner too) of up to ``area`` pixels."""
    parts, count = ndimage.label(regions, structure=np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = area + 1  # what belongs to no part
    return np.asarray((sizes <= area)[parts])
