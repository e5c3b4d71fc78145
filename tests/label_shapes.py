"""Analytic shapes on grids of all kinds, as outlines."""

from __future__ import annotations

import numpy as np

from delineate.core.grid import Grid, Placement
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.outlines.stacks import with_stack

_C, _S = np.cos(0.5), np.sin(0.5)
TURN = np.array([[_C, -_S, 0], [_S, _C, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, _C, -_S], [0, _S, _C]])
SHEAR = np.array([[1, 0.2, 0.3], [0, 1, 0.1], [0, 0, 1]])
STEPS = {
    "even": np.eye(3),
    "anisotropic": np.diag([0.7, 0.9, 2.5]),
    "oblique": TURN @ np.diag([0.8, 0.8, 2.0]),
    "sheared": SHEAR @ np.diag([0.8, 0.9, 1.5]),
}


def grid_around(steps: np.ndarray, radius: float) -> Grid:
    """A grid with a ball of a radius (mm) around (10, -20, 30) well inside."""
    reach = np.ceil((radius + 4) * np.linalg.norm(np.linalg.inv(steps), axis=1)).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = np.array([10, -20, 30.0]) - steps @ reach
    return Grid(tuple(2 * reach + 1), affine)


def places(grid: Grid) -> np.ndarray:
    """World positions (3, i, j, k) of voxels."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")).astype(float)
    return np.tensordot(grid.affine[:3, :3], index, 1) + grid.affine[:3, 3].reshape(3, 1, 1, 1)


def ball(grid: Grid, radius: float, center: tuple[float, float, float] = (10, -20, 30)) -> np.ndarray:
    return np.linalg.norm(places(grid) - np.reshape(center, (3, 1, 1, 1)), axis=0) <= radius


def volume_of(grid: Grid, axis: int = 2, **stacks: np.ndarray) -> Segmentation:
    """Outlines of structures given as booleans (i, j, k)."""
    scan = Scan.from_volume(np.zeros(grid.shape, np.int16), grid, axis)
    found = Segmentation.empty(scan)
    for name, stack in stacks.items():
        found = with_stack(found.adding(name), name, stack)
    return found


def image_of(mask: np.ndarray, spacing: tuple[float, float] | None = None) -> Segmentation:
    """One structure ``a`` on an image (height, width)."""
    grid = None if spacing is None else Grid.scaled(mask.shape[::-1], spacing)
    scan = Scan.from_image(np.zeros(mask.shape, np.uint8), grid)
    return Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(mask)})


def pixel_grid(shape: tuple[int, int, int]) -> Grid:
    return Grid(shape, placement=Placement.PIXELS)
