"""The verb ``fill-between``: structures drawn on some slices, filled in on those between."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from delineate.core.errors import InputError, Notice
from delineate.core.scan import ScanKind
from delineate.labels.reading import open_segmentation
from delineate.outlines.between import fill_between as filled
from delineate.verbs.label_files import LabelResult, on_labels, sizes, target_of, write_labels
from delineate.verbs.request import Overwrite, Request


class FillBetweenRequest(Request):
    """Everything ``fill-between`` needs to know."""

    input: Path
    label: tuple[str, ...] = Field(default=(), description="The structures that are filled; none named: all.")
    axis: str | None = Field(default=None, description="Axis the drawn slices lie along: i, j, k or R, A, S.")
    largest_gap: int | None = Field(default=None, ge=1, description="More empty slices than this stay empty.")
    output: Path | None = None
    overwrite: Overwrite = False


def fill_between(request: FillBetweenRequest) -> LabelResult:
    """Fill in a structure between the slices it was drawn on; what was drawn stays bit for bit.

    Raises
    ------
    DelineateError
        If the file holds no labels, is one picture, or a name is not there.
    """
    from delineate.io.options import ReadOptions

    source = open_segmentation(request.input, ReadOptions(slice_axis=request.axis))
    before = source.segmentation
    if before.kind is ScanKind.IMAGE:
        raise InputError(
            "E-BETWEEN-IMAGE",
            f"{request.input.name} is one picture: there is nothing between its slices.",
            "Give a volume or a video in which the structure is drawn on some slices.",
        )
    found = filled(before, request.label, request.largest_gap)
    target = target_of(source, request.output, "filled")
    files, lost = write_labels(found, target, on_labels(source), (request.input,), request.overwrite)
    same = tuple(
        Notice("W-BETWEEN-NOTHING", f"Nothing of {name} was filled in: it has no empty slices between drawn ones.")
        for name in (request.label or before.names)
        if found[name].frames == before[name].frames
    )
    return LabelResult(found, files, sizes(found, before), (*source.scan.notices, *same, *lost))
