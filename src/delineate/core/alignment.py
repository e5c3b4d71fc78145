"""Labels brought onto the grid of a scan by where they lie, not by where they stand in an array."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.grid import Affine, Grid, Placement

SAME: Final = 0.05  # voxels between two places that are taken for one
SAME_STEP: Final = 0.01  # of a spacing, by which another one may differ that is taken for it


class Fit(Enum):
    """How the voxels of one grid lie to those of another."""

    SAME = "the same voxels in the same order"
    REORDERED = "the same voxels, axes flipped or exchanged, or a part of them"
    BETWEEN = "voxels between the other's: another spacing or direction, or an offset"
    UNKNOWN = "sizes or spacings differ, and one of them does not say where it lies"


def fit_of(labels: Grid, scan: Grid) -> Fit:
    """How labels lie to a scan.

    Where one of them has no place in the patient, equal sizes are taken for the same, unless both say how large a
    voxel is and differ in it.
    """
    both = labels.placement is Placement.WORLD and scan.placement is Placement.WORLD and labels.ndim == scan.ndim
    if not both:
        return Fit.SAME if labels.shape == scan.shape and _steps_agree(labels, scan) else Fit.UNKNOWN
    to_labels = _between(labels, scan)
    if labels.shape == scan.shape and _apart(to_labels, np.eye(4), scan) <= SAME:
        return Fit.SAME
    return Fit.REORDERED if _apart(to_labels, np.round(to_labels), scan) <= SAME else Fit.BETWEEN


def moved(voxels: NDArray[Any], labels: Grid, scan: Grid) -> NDArray[Any]:
    """Label voxels, as they are on the scan's grid: those nearest to its voxels, 0 where there are none.

    Exact where the grids have the same voxels (``Fit.REORDERED``).
    """
    from scipy.ndimage import affine_transform

    to_labels = _between(labels, scan)
    if _apart(to_labels, np.round(to_labels), scan) <= SAME:
        to_labels = np.round(to_labels)
    n = scan.ndim
    whole = np.delete(np.delete(to_labels, range(n, 3), 0), range(n, 3), 1)
    stored = voxels.astype(np.uint8) if voxels.dtype == bool else voxels
    out = affine_transform(stored, whole, output_shape=scan.shape, order=0, mode="grid-constant", cval=0)
    return out.astype(voxels.dtype, copy=False)


def farthest_apart(labels: Grid, scan: Grid) -> float:
    """How far the corners of two grids of one size lie apart, in mm, each at the same place in its array."""
    corners = _corners(scan)
    return float(np.linalg.norm((corners @ (labels.affine - scan.affine).T)[:, :3], axis=1).max())


def _steps_agree(labels: Grid, scan: Grid) -> bool:
    unknown = Placement.PIXELS in (labels.placement, scan.placement)
    return unknown or np.allclose(labels.spacing, scan.spacing, rtol=SAME_STEP, atol=0)


def _between(labels: Grid, scan: Grid) -> Affine:
    return np.asarray(np.linalg.inv(labels.affine) @ scan.affine)


def _corners(grid: Grid) -> NDArray[np.float64]:
    sizes = [*grid.shape, 1][:3]
    return np.array([[*bits, 1] for bits in np.ndindex(2, 2, 2)]) * [*(n - 1 for n in sizes), 1.0]


def _apart(one: Affine, other: Affine, scan: Grid) -> float:
    """The most voxels between where two transforms put a corner of the scan."""
    return float(np.abs((_corners(scan) @ (one - other).T)[:, : scan.ndim]).max())
