"""Surface area and perimeter of masks on any lattice, from how often lines along the lattice cross the border.

Crofton's formula: the area is twice the mean, over all directions, of the number of crossings of parallel lines, a unit
of area to each. The directions are those from a voxel to its 26 (8) neighbors, in mm, each weighed by the share of the
sphere (circle) that is nearest to it, so that spacing and shear are part of the measure (Lehmann and Legland, Image
Processing On Line 2012). Smooth bodies come out within a few percent; a mesh of triangles at the borders
of voxels, as pyradiomics has it, gives some 8 % more on a ball, as its facets follow the steps.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import SphericalVoronoi

from delineate.outlines.regions import box_around
from delineate.outlines.stacks import Stack, Steps


def surface_area(mask: Stack, steps: Steps) -> float:
    """Area in mm2 of the surface of a mask of three axes; the length in mm of the outline of one of two axes.

    What touches the border of the scan is closed there.
    """
    box = box_around(mask)
    if box is None:
        return 0.0
    padded = np.pad(mask[box], 1)
    offsets = _directions(mask.ndim)
    vectors = offsets @ steps.T
    lengths = np.linalg.norm(vectors, axis=1)
    cell = _cell(steps)
    crossings = np.array([_crossings(padded, offset) for offset in offsets])
    weights = _shares(vectors / lengths[:, None])
    factor = 2.0 if mask.ndim == 3 else np.pi / 2
    return float(factor * (weights * crossings * cell / lengths).sum())


def _directions(axes: int) -> NDArray[np.int64]:
    """One offset of each pair of opposite neighbors."""
    offsets = [offset for offset in product((-1, 0, 1), repeat=axes) if offset > (0,) * axes]
    return np.array(offsets)


def _cell(steps: Steps) -> float:
    """Volume (area) of a voxel."""
    return float(np.sqrt(np.linalg.det(steps.T @ steps)))


def _crossings(mask: Stack, offset: NDArray[np.int64]) -> int:
    """How often the mask begins or ends along a direction."""
    here, there = [], []
    for step, size in zip(offset, mask.shape, strict=True):
        here.append(slice(max(0, -step), size - max(0, step)))
        there.append(slice(max(0, step), size - max(0, -step)))
    return int((mask[tuple(here)] != mask[tuple(there)]).sum())


def _shares(units: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of all directions that is nearest to each of some axes, (n, 3) unit vectors."""
    rank = np.linalg.matrix_rank(units, tol=1e-6)
    both = np.concatenate([units, -units])
    if rank == 3:
        areas = SphericalVoronoi(both, threshold=1e-9).calculate_areas()
        return np.asarray(2 * areas[: len(units)] / areas.sum())
    _, _, plane = np.linalg.svd(both)
    angles = np.arctan2(both @ plane[1], both @ plane[0])
    order = np.argsort(angles)
    gaps = np.diff(np.append(angles[order], angles[order[0]] + 2 * np.pi))
    shares = np.empty(len(both))
    shares[order] = (gaps + np.roll(gaps, 1)) / 2 / (2 * np.pi)
    return np.asarray(2 * shares[: len(units)])
