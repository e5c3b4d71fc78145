"""A mask file as a prompt: on the scan's grid, or brought onto it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.errors import PromptError
from delineate.grid import Placement
from delineate.io.opening import open_scan
from delineate.prompts import Mask
from delineate.scan import Scan, ScanKind


def mask_prompt(path: Path, scan: Scan, frame: int | None) -> Mask:
    """The outline in a file: a picture, or the slice of a volume where it is largest (or ``frame``).

    A volume on another grid is resampled (nearest voxel) if both know where they are.
    Raises PromptError for an empty mask and for one that does not overlap the scan.
    """
    drawn = open_scan(path)
    if scan.kind is ScanKind.VOLUME and drawn.kind is ScanKind.VOLUME:
        voxels = _on_grid(drawn, scan, path)
        stack = np.moveaxis(voxels, scan.slice_axis, 0)
        areas = stack.sum(axis=(1, 2))
        if not areas.any():
            raise PromptError("E-MASK-EMPTY", f"{path.name} is empty where the scan is: not one pixel is set.")
        number = int(areas.argmax()) if frame is None else frame
        return Mask.from_array(stack[number].T, frame=number)
    flat = drawn.frame(0)
    mask = np.asarray(flat.any(axis=2) if flat.ndim == 3 else flat != 0)
    if not mask.any():
        raise PromptError("E-MASK-EMPTY", f"{path.name} is empty: not one pixel is set.")
    return Mask.from_array(mask, frame=frame)


def _on_grid(drawn: Scan, scan: Scan, path: Path) -> NDArray[np.bool_]:
    voxels = drawn.voxels() != 0
    if drawn.grid.shape == scan.grid.shape and (
        drawn.grid.same_as(scan.grid, 0.01) or Placement.WORLD not in (drawn.grid.placement, scan.grid.placement)
    ):
        return voxels
    if {drawn.grid.placement, scan.grid.placement} != {Placement.WORLD}:
        raise PromptError(
            "E-MASK-GRID",
            f"{path.name} has another grid ({drawn.grid!r}) than the scan ({scan.grid!r}), and one of them does not "
            "say where it lies.",
        )
    places = np.stack(np.meshgrid(*(np.arange(n) for n in scan.grid.shape), indexing="ij"), axis=-1)
    nearest = np.rint(drawn.grid.to_voxel(scan.grid.to_world(places))).astype(int)
    inside = ((nearest >= 0) & (nearest < drawn.grid.shape)).all(axis=-1)
    out = np.zeros(scan.grid.shape, dtype=bool)
    out[inside] = voxels[tuple(nearest[inside].T)]
    if not out.any():
        raise PromptError("E-MASK-ELSEWHERE", f"{path.name} lies elsewhere: it does not overlap the scan.")
    return out
