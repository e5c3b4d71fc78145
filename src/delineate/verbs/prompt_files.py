"""Prompts that come in files: a mask on the scan's grid or brought onto it, and marks on a few slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from delineate.core.errors import Notice, PromptError
from delineate.core.grid import Placement
from delineate.core.prompts import Box, Mask
from delineate.core.scan import Scan, ScanKind
from delineate.io.opening import open_scan
from delineate.tracking.markers import marker_boxes


def mask_prompt(path: Path, scan: Scan, frame: int | None) -> tuple[Mask, tuple[Notice, ...]]:
    """The outline in a file: a picture, or the slice of a volume where it is largest (or ``frame``).

    A volume on another grid is resampled (nearest voxel) if both know where they are; the notice says so.
    Raises PromptError for an empty mask and for one that does not overlap the scan.
    """
    drawn = open_scan(path)
    if scan.kind is not ScanKind.VOLUME or drawn.kind is not ScanKind.VOLUME:
        flat = drawn.pixels(0)
        return _mask(np.asarray(flat.any(axis=2) if flat.ndim == 3 else flat != 0), frame, path), ()
    voxels, notices = _on_grid(drawn, scan, path)
    slices = np.moveaxis(voxels, scan.slice_axis, 0)
    number = int(slices.sum(axis=(1, 2)).argmax()) if frame is None else frame
    if not 0 <= number < len(slices):
        raise PromptError(
            "E-PROMPT-FRAME",
            f"--frame {number} is not in the scan: it has 0 to {len(slices) - 1}.",
            "Frames and slices are counted from 0.",
        )
    return _mask(slices[number].T, number, path), notices


def marker_prompts(path: Path, scan: Scan) -> list[Box]:
    """A box for each slice between the first and the last marked one.

    Raises PromptError for scans that are no volume, marks on another grid, and empty ones.
    """
    if scan.kind is not ScanKind.VOLUME:
        raise PromptError("E-MARKS-VOLUME", f"--markers are for volumes; this is a {scan.kind.value}.", "Use --box.")
    drawn = open_scan(path)
    if drawn.kind is not ScanKind.VOLUME or drawn.grid.shape != scan.grid.shape:
        raise PromptError(
            "E-MARKS-GRID",
            f"{path.name} has another grid ({drawn.grid!r}) than the scan ({scan.grid!r}).",
            "Draw the marks on the scan itself, or bring them onto its grid first.",
        )
    slices = np.moveaxis(drawn.voxels() != 0, scan.slice_axis, 0)  # slice, x, y
    return marker_boxes(slices.transpose(0, 2, 1))


def _mask(pixels: NDArray, frame: int | None, path: Path) -> Mask:
    if not pixels.any():
        where = "" if frame is None else f" on slice {frame}"
        raise PromptError(
            "E-MASK-EMPTY", f"{path.name} is empty{where}: not one pixel is set.", "Draw at least one pixel."
        )
    return Mask.from_array(pixels, frame=frame)


def _on_grid(drawn: Scan, scan: Scan, path: Path) -> tuple[NDArray[np.bool_], tuple[Notice, ...]]:
    """The drawn voxels on the scan's grid, and what was done to bring them there."""
    voxels = drawn.voxels() != 0
    if drawn.grid.shape == scan.grid.shape and (
        drawn.grid.same_as(scan.grid, 0.01) or Placement.WORLD not in (drawn.grid.placement, scan.grid.placement)
    ):
        return voxels, ()
    if {drawn.grid.placement, scan.grid.placement} != {Placement.WORLD}:
        raise PromptError(
            "E-MASK-GRID",
            f"{path.name} has another grid ({drawn.grid!r}) than the scan ({scan.grid!r}), and one of them does not "
            "say where it lies.",
            "Save it on the grid of the scan, with the same affine.",
        )
    to_drawn = np.linalg.inv(drawn.grid.affine) @ scan.grid.affine
    moved = affine_transform(
        voxels.astype(np.uint8), to_drawn, output_shape=scan.grid.shape, order=0, mode="grid-constant"
    )
    if voxels.any() and not moved.any():
        raise PromptError(
            "E-MASK-ELSEWHERE",
            f"{path.name} lies elsewhere: it does not overlap the scan.",
            "Check that both are of one patient and one study.",
        )
    text = "The mask has another grid than the scan; it was brought onto the scan's (nearest voxel)."
    return moved != 0, (Notice("W-MASK-RESAMPLED", text),)
