"""Outlines on a few slices carried to those between them: the shapes change evenly, whatever the picture shows.

Source: shape-based interpolation by signed distances, Raya and Udupa, IEEE Transactions on Medical Imaging 9 (1990),
section III; shapes are laid over each other first, as in Herman, Zheng and Bucholtz, IEEE CG&A 12 (1992).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, distance_transform_edt, shift

Shape = NDArray[np.bool_]
MARGIN: Final = 2  # pixels around the shapes, so that there is an outside


def interpolate(masks: Mapping[int, Shape], spacing: tuple[float, float] = (1.0, 1.0)) -> dict[int, Shape]:
    """Outlines between drawn ones: what lies inside by the signed distances of the nearest drawn slices.

    Parameters
    ----------
    masks
        Drawn outlines by number of the slice, each bool (height, width). An empty one says that the structure is not
        there; nothing is carried to it or from it.
    spacing
        mm between the pixels of a slice, (x, y).

    Returns
    -------
    dict
        bool (height, width) of the slices between drawn ones, by number; the drawn ones are not among them, nor slices
        beyond the first or the last.

    Raises
    ------
    ValueError
        If the outlines differ in size.
    """
    drawn = {number: np.asarray(mask, dtype=bool) for number, mask in sorted(masks.items())}
    if len({mask.shape for mask in drawn.values()}) > 1:
        raise ValueError("The outlines differ in size.")
    found: dict[int, Shape] = {}
    for low, high in pairwise(drawn):
        if high - low > 1 and drawn[low].any() and drawn[high].any():
            shares = {number: (number - low) / (high - low) for number in range(low + 1, high)}
            found |= _between(drawn[low], drawn[high], shares, spacing)
    return found


def _between(first: Shape, last: Shape, shares: Mapping[int, float], spacing: tuple[float, float]) -> dict[int, Shape]:
    """The shapes that are a share of the way from one to another, by number."""
    y, x = _extent(first | last)
    centers = [np.array(center_of_mass(mask[y, x])) for mask in (first, last)]
    way = centers[1] - centers[0]
    sampling = (spacing[1], spacing[0])
    far = int(np.ceil(np.abs(way).max())) + MARGIN
    distances = [_signed_distance(np.pad(mask[y, x], far), sampling) for mask in (first, last)]
    inner = (slice(far, -far), slice(far, -far))
    found = {}
    for number, share in shares.items():
        near = shift(distances[0], share * way, order=1, mode="nearest")
        there = shift(distances[1], (share - 1) * way, order=1, mode="nearest")
        mask = np.zeros(first.shape, dtype=bool)
        mask[y, x] = ((1 - share) * near + share * there)[inner] > 0
        found[number] = mask
    return found


def _extent(mask: Shape) -> tuple[slice, slice]:
    """The rows and columns from the first to the last that hold something."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _signed_distance(mask: Shape, sampling: tuple[float, float]) -> NDArray[np.float64]:
    """mm from the outline (half a pixel off the pixels on either side), positive inside."""
    return np.where(mask, _depth(mask, sampling), -_depth(~mask, sampling))


def _depth(mask: Shape, sampling: tuple[float, float]) -> NDArray[np.float64]:
    """mm from the pixels of a mask to its outline: half a pixel less than to the nearest one outside, in its direction.

    0 outside. On pixels that are no squares half of one is another length along each axis.
    """
    away, nearest = distance_transform_edt(mask, sampling=sampling, return_indices=True)
    pixels = np.linalg.norm(nearest - np.indices(mask.shape), axis=0)
    return np.asarray(away * (1 - 0.5 / np.maximum(pixels, 1)))
