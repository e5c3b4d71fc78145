"""Right-handed copies of volumes: 3D Slicer reverses the last axis of every other one when it reads it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame_source import VolumeFrames
from delineate.core.grid import Grid
from delineate.core.scan import Scan, ScanKind


def right_handed(scan: Scan) -> Scan:
    """The scan itself, or a left-handed volume with its last axis reversed: index k is K-1-k of the file."""
    if not is_left_handed(scan):
        return scan
    source = VolumeFrames(scan.voxels()[:, :, ::-1], scan.slice_axis)
    return replace(scan, source=source, grid=_reversed(scan.grid), file=None, geometry=None)


def in_file_order(labels: NDArray[np.generic], scan: Scan) -> NDArray[np.generic]:
    """Labels (i, j, k) on the right-handed copy of a scan, as the scan's own file orders them; and the reverse."""
    return labels[:, :, ::-1] if is_left_handed(scan) else labels


def is_left_handed(scan: Scan) -> bool:
    return scan.kind is ScanKind.VOLUME and scan.grid.handedness < 0


def _reversed(grid: Grid) -> Grid:
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (grid.shape[2] - 1)
    affine[:3, 2] *= -1
    return replace(grid, affine=affine)
