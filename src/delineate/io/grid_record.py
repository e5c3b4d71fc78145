"""The grid of a scan as JSON, in files whose format has no place for it: COCO, folders of pictures."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from delineate.core.errors import InputError
from delineate.core.grid import Grid, Placement
from delineate.core.scan import ScanKind
from delineate.core.segmentation import Segmentation


class GridRecord(BaseModel):
    """What is needed to put outlines back where they were."""

    model_config = ConfigDict(extra="ignore")

    kind: ScanKind
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    affine: tuple[tuple[float, float, float, float], ...]
    placement: Placement
    slice_axis: int

    @property
    def outlines(self) -> Segmentation:
        """No outlines yet, on the grid. Raises GeometryError or InputError for a grid that cannot be."""
        grid = Grid(self.shape, np.array(self.affine), self.axes, self.placement)
        if self.slice_axis not in (0, 1, 2) or grid.ndim != (2 if self.kind is ScanKind.IMAGE else 3):
            raise InputError("E-GRID-RECORD", f"A {self.kind} of {grid!r} is none.", "Write the file anew.")
        width, height = (grid.shape[axis] for axis in range(3) if axis != self.slice_axis)
        return Segmentation(self.kind, grid, (height, width), self.slice_axis)


PLACEMENT_KEY: Final = "delineate_placement"  # in headers of NRRD and MetaImage


def placement_note(grid: Grid) -> str:
    """What such a header cannot say of a grid: that it is of one picture, and that mm or directions are unknown."""
    words = ["image"] if grid.ndim == 2 else []
    return " ".join(words if grid.placement is Placement.WORLD else [*words, grid.placement])


def noted(grid: Grid, note: str) -> Grid:
    """The grid of such a header (i, j, k), as the note says; where the header was changed since, as the header says."""
    words = note.split()
    flat = "image" in words and grid.ndim == 3 and grid.shape[2] == 1
    shape, axes = (grid.shape[:2], ("x", "y")) if flat else (grid.shape, grid.axes)
    upright = np.count_nonzero(grid.affine[:3, :3]) == 3 and not grid.affine[:3, 3].any()
    if Placement.PIXELS in words and upright and set(grid.spacing) == {1.0}:
        return Grid(shape, axes=axes, placement=Placement.PIXELS)
    if Placement.SCALE in words and upright:
        return Grid.scaled(shape, grid.spacing, axes)
    return Grid(shape, grid.affine, ("i", "j"), grid.placement) if flat else grid


def grid_record(segmentation: Segmentation) -> dict[str, Any]:
    """The grid of outlines, as JSON has it."""
    grid = segmentation.grid
    return GridRecord(
        kind=segmentation.kind,
        shape=grid.shape,
        axes=grid.axes,
        affine=tuple(map(tuple, grid.affine.tolist())),
        placement=grid.placement,
        slice_axis=segmentation.slice_axis,
    ).model_dump(mode="json")
