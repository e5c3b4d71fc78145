"""NRRD and MetaImage describe space as ITK does; here is the one place where that becomes an RAS affine."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from delineate.core.grid import Affine

SIGNS = {"RAS": (1, 1, 1), "LPS": (-1, -1, 1), "LAS": (-1, 1, 1)}


def ras_affine(directions: ArrayLike, origin: ArrayLike, space: str = "LPS") -> Affine:
    """(4, 4) voxel to RAS mm, from the step of each voxel axis (rows of ``directions``, mm) and the first voxel."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(directions, dtype=np.float64).T
    affine[:3, 3] = np.asarray(origin, dtype=np.float64)
    return np.asarray(np.diag([*SIGNS[space], 1.0]) @ affine)
