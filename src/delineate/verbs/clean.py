"""The verb ``clean``: outlines tidied up, on their own grid."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from delineate.core.clean_steps import CleanSteps
from delineate.core.errors import InputError, Notice
from delineate.labels.grids import best_placed, require_same_grid
from delineate.labels.reading import open_segmentation
from delineate.outlines.clean import clean as cleaned
from delineate.outlines.stacks import union_of
from delineate.verbs.label_files import LabelResult, emptied, on_labels, sizes, target_of, write_labels
from delineate.verbs.request import Overwrite, Request


class CleanRequest(Request):
    """Everything ``clean`` needs to know; the steps are done in the order in which they stand here."""

    input: Path
    label: tuple[str, ...] = Field(default=(), description="The structures that are cleaned; none named: all.")
    largest: bool = Field(default=False, description="Keep the largest connected part alone.")
    islands: float | None = Field(default=None, description="Remove parts smaller than this: ml, cm2 or pixels.")
    holes: bool = Field(default=False, description="Fill what is enclosed on all sides.")
    holes_in_slices: bool = Field(default=False, description="Fill what is enclosed within a slice.")
    smooth: float | None = Field(default=None, description="Smooth the border, mm; the volume stays.")
    shrink: float | None = Field(default=None, description="Make smaller by so many mm.")
    grow: float | None = Field(default=None, description="Make larger by so many mm, never into other structures.")
    inside: str | None = Field(default=None, description="Keep only what lies in this structure of the file.")
    inside_file: Path | None = Field(default=None, description="Keep only what lies in any structure of this file.")
    output: Path | None = None
    overwrite: Overwrite = False


def clean(request: CleanRequest) -> LabelResult:
    """Clean outlines: largest part, islands, holes, smooth borders, grow or shrink by mm, keep inside another.

    Raises
    ------
    DelineateError
        If a file holds no labels, a name is not there, an amount is none, nothing is asked for, or grids differ.
    """
    steps = CleanSteps(
        largest=request.largest,
        islands=request.islands,
        holes=request.holes,
        holes_in_slices=request.holes_in_slices,
        smooth=request.smooth,
        shrink=request.shrink,
        grow=request.grow,
        inside=request.inside,
    )
    if steps.is_nothing and request.inside_file is None:
        raise InputError(
            "E-CLEAN-NOTHING",
            "Nothing says what is to be cleaned.",
            "Give --largest, --islands ML, --holes, --smooth MM, --grow MM, --shrink MM or --inside NAME.",
        )
    source = open_segmentation(request.input)
    within, apart = None, tuple[Notice, ...]()
    if request.inside_file is not None:
        other = open_segmentation(request.inside_file)
        apart = require_same_grid(source, other)
        source, other = best_placed((source, other))
        within = union_of(other.segmentation, other.segmentation.names)
    found = cleaned(source.segmentation, steps, request.label, within)
    target = target_of(source, request.output, "clean")
    inputs = (request.input, request.inside_file)
    files, lost = write_labels(found, target, on_labels(source), inputs, request.overwrite)
    notices = (*source.scan.notices, *apart, *emptied(source.segmentation, found), *lost)
    return LabelResult(found, files, sizes(found, source.segmentation), notices)
