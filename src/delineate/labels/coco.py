"""Outlines out of a COCO file: one this package wrote, on its own grid, or one of a single picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Grid
from delineate.core.json_file import read_json
from delineate.core.rle import Rle
from delineate.core.scan import ScanKind
from delineate.core.segmentation import MOST_LABELS, Color, Segmentation
from delineate.core.terminal_text import counted
from delineate.data.coco import drawn
from delineate.io.grid_record import GRID_KEY, GridRecord


class _Picture(BaseModel):
    id: int | str
    width: int
    height: int
    frame: int | None = None


class _Category(BaseModel):
    id: int | str
    name: str
    color: tuple[int, int, int] | None = None


class _Annotation(BaseModel):
    image_id: int | str
    category_id: int | str
    segmentation: Any = None
    iscrowd: bool = False
    score: float | None = None


class _File(BaseModel):
    images: list[_Picture]
    annotations: list[_Annotation]
    categories: list[_Category]
    info: dict[str, Any] = {}


def read_coco(path: Path) -> tuple[Segmentation, tuple[Notice, ...]]:
    """The structures of a COCO file, one a category, and what of it is left out; instances of a category are joined.

    A category keeps its id as label where it can be one; others, such as 0, get the numbers that are free.

    Raises InputError for a file of several pictures that this package did not write: they have no common grid.
    """
    content = read_json(path, _File, "E-COCO", "a COCO file", "docs/reference/datasets.md says what is read of it.")
    outlines = _grid(content, path)
    frames = {one.id: one.frame or 0 for one in content.images}
    height, width = outlines.frame_shape
    for category, label in zip(content.categories, _labels(content.categories), strict=True):
        outlines = outlines.adding(category.name, _color(category), label)
        masks: dict[int, Rle | None] = {}
        scores: dict[int, float] = {}
        for n, one in enumerate(content.annotations):
            if one.category_id != category.id or one.iscrowd or one.image_id not in frames:
                continue
            frame = frames[one.image_id]
            rle = Rle.encode(drawn(one.segmentation, height, width, f"annotation {n} of {path.name}"))
            before = masks.get(frame)
            masks[frame] = rle if before is None else before.union(rle)
            if one.score is not None:
                scores[frame] = one.score
        outlines = outlines.with_masks(category.name, masks, scores)
    crowds = sum(one.iscrowd for one in content.annotations)
    text = counted(crowds, "annotation is a crowd (iscrowd 1)", "annotations are crowds (iscrowd 1)")
    return outlines, (Notice("W-COCO-CROWDS", f"{text}, no outline of one thing, and left out."),) if crowds else ()


def _labels(categories: Sequence[_Category]) -> list[int]:
    """A label value for each category."""
    own = [one.id if isinstance(one.id, int) and 0 < one.id <= MOST_LABELS else None for one in categories]
    free = (value for value in count(1) if value not in own)
    return [next(free) if value is None else value for value in own]


def _color(category: _Category) -> Color | None:
    color = category.color
    return color if color is not None and all(0 <= part <= 255 for part in color) else None


def _grid(content: _File, path: Path) -> Segmentation:
    """The grid that was recorded, or that of the one picture there is."""
    try:
        return GridRecord.model_validate(content.info[GRID_KEY]).outlines
    except (KeyError, ValidationError, json.JSONDecodeError):
        pass
    if len(content.images) != 1:
        raise InputError(
            "E-LABELS-COCO",
            f"{path.name} holds outlines of {len(content.images)} pictures; one picture's are read here.",
            "Keep the entries of one picture in a file of their own; dataset check and training read them all.",
        )
    (picture,) = content.images
    grid = Grid.pixels(picture.width, picture.height)
    return Segmentation(ScanKind.IMAGE, grid, (picture.height, picture.width))
