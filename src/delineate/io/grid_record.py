"""The grid of a scan as JSON, in files whose format has no place for it: COCO, PNG, folders of pictures."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from delineate.core.errors import GeometryError, InputError
from delineate.core.grid import Grid, Placement
from delineate.core.scan import Scan, ScanKind
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


GRID_KEY: Final = "delineate_grid"  # in COCO, and in the text of a PNG
LONGEST: Final = 1 << 12  # characters of such a text
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


def grid_record(gridded: Segmentation | Scan) -> dict[str, Any]:
    """The grid of outlines or of a scan, as JSON has it."""
    grid = gridded.grid
    return GridRecord(
        kind=gridded.kind,
        shape=grid.shape,
        axes=grid.axes,
        affine=tuple(map(tuple, grid.affine.tolist())),
        placement=grid.placement,
        slice_axis=gridded.slice_axis,
    ).model_dump(mode="json")


def picture_text(gridded: Segmentation | Scan) -> dict[str, str]:
    """What the text of a picture file says of its grid; nothing of one that knows pixels alone."""
    known = gridded.kind is ScanKind.IMAGE and gridded.grid.placement is not Placement.PIXELS
    return {GRID_KEY: json.dumps(grid_record(gridded))} if known else {}


def picture_grid(text: str, width: int, height: int) -> Grid | None:
    """The grid that such a text says, if it is one of a picture of this size; anybody may have written it."""
    try:
        grid = GridRecord.model_validate_json(text[:LONGEST]).outlines.grid
    except (ValidationError, InputError, GeometryError):
        return None
    return grid if grid.shape == (width, height) else None
