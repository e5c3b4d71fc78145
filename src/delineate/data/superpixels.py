"""Superpixels: parts of a slice, or of a volume, that stand in for structures where nothing is labeled.

SSL-ALPNet (arXiv 2007.09886, section 3.3) takes Felzenszwalb's graph segmentation of every slice; SLIC also divides
volumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.errors import InputError, MissingExtraError

FAINT = 1e-4  # intensities up to here are outside the body (CT, from 0 to 255)
MR_FAINT = 50 + 1e-4  # the same of MR, as the authors chose it for CHAOS

Parts = NDArray[np.int32]


class Method(StrEnum):
    FELZENSZWALB = "felzenszwalb"  # slice by slice
    SLIC = "slic"  # slices, or a volume as a whole


@dataclass(frozen=True)
class Superpixels:
    """How a slice is divided.

    min_size  pixels of the smallest part (Felzenszwalb)
    sigma     of the smoothing before, in pixels
    size      pixels of a part, on average (SLIC)
    """

    method: Method = Method.FELZENSZWALB
    min_size: int = 400
    sigma: float = 1.0
    size: int = 400

    def of(self, picture: NDArray[Any], inside: NDArray[np.bool_] | None = None) -> Parts:
        """Parts of a slice (height, width) or volume (depth, height, width), 1 to n; 0 outside ``inside``.

        Raises InputError for a volume that Felzenszwalb's method is asked for, MissingExtraError without scikit-image.
        """
        try:
            from skimage import segmentation
        except ModuleNotFoundError as error:
            raise MissingExtraError("Superpixels", "train") from error
        values = np.nan_to_num(picture.astype(np.float64))
        if self.method is Method.FELZENSZWALB:
            if picture.ndim != 2:
                raise InputError("E-SUPERPIXELS", "Felzenszwalb's method divides slices.", "Use slic for volumes.")
            found = segmentation.felzenszwalb(values, scale=1, sigma=self.sigma, min_size=self.min_size)
        else:
            low, high = values.min(), values.max()
            values = (values - low) / max(high - low, 1e-12)
            found = segmentation.slic(
                values, max(1, round(values.size / self.size)), 0.1, sigma=self.sigma, channel_axis=None
            )
        return numbered(found, inside)


def body(picture: NDArray[Any], faint: float = FAINT) -> NDArray[np.bool_]:
    """What is brighter than the air around: the largest connected component, holes filled, slice by slice."""
    bright = picture > faint
    parts, count = ndimage.label(bright)
    if not count:
        return bright
    largest = parts == 1 + int(ndimage.sum_labels(bright, parts, np.arange(1, count + 1)).argmax())
    if largest.ndim == 2:
        return np.asarray(ndimage.binary_fill_holes(largest))
    return np.stack([ndimage.binary_fill_holes(one) for one in largest])


def numbered(parts: NDArray[Any], inside: NDArray[np.bool_] | None = None) -> Parts:
    """Parts as 1 to n without gaps; those that lie outside more than inside are 0."""
    if inside is None:
        return np.asarray(np.unique(parts, return_inverse=True)[1].reshape(parts.shape) + 1, np.int32)
    values, index = np.unique(parts, return_inverse=True)
    index = index.reshape(parts.shape)
    share = ndimage.mean(inside, index, np.arange(len(values)))
    numbers = np.where(share > 0.5, np.cumsum(share > 0.5), 0)
    return np.asarray(numbers[index], np.int32)
