"""The verb ``compare``: two files of labels held against each other, in numbers and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from delineate.core.errors import Notice, PromptError
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.evaluation.metrics import NSD_TOLERANCE
from delineate.io.atomic import write_bytes
from delineate.io.naming import stem_of
from delineate.io.opening import open_scan
from delineate.io.outputs import Outputs
from delineate.io.overlay import Remarks, save_preview
from delineate.labels.compare import Comparison, Pair, difference, pairs
from delineate.labels.compare import compare as compared
from delineate.labels.grids import best_placed, require_same_grid
from delineate.labels.reading import LabelFile, open_segmentation
from delineate.verbs.measure import table_writer
from delineate.verbs.request import Overwrite, Request

SHOWN_FIRST: Final = 4  # frames on which two outlines differ most


class CompareLabelsRequest(Request):
    """Everything ``compare`` needs to know."""

    first: Path = Field(description="The truth, or the first reader.")
    second: Path = Field(description="What is held against it.")
    label: tuple[str, ...] = Field(default=(), description="The structures that are compared; none named: all.")
    tolerance: float = Field(default=NSD_TOLERANCE, description="Of the normalized surface Dice, mm.")
    scan: Path | None = Field(default=None, description="The scan they lie on, for the picture.")
    picture: Path | None = Field(default=None, description="Draw here (.png) where they differ.")
    output: Path | None = Field(default=None, description="Table of the numbers: .csv, .json or .md.")
    overwrite: Overwrite = False


@dataclass(frozen=True, eq=False)
class CompareLabelsResult:
    """The numbers of each structure, and the files that were written."""

    comparisons: tuple[Comparison, ...]
    tolerance: float
    files: tuple[Path, ...]
    notices: tuple[Notice, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "files": [str(file) for file in self.files],
            "tolerance": self.tolerance,
            "structures": [one.row() for one in self.comparisons],
            "notices": [notice.message for notice in self.notices],
        }


def compare(request: CompareLabelsRequest) -> CompareLabelsResult:
    """Compare two files of labels: Dice, IoU, NSD, HD95, mean distance and volumes; draw where they differ.

    Raises
    ------
    DelineateError
        If a file holds no labels, the two have different grids, or a name is in neither.
    """
    files = tuple(file for file in (request.output, request.picture) if file is not None)
    write = None if request.output is None else table_writer(request.output)
    first, second = open_segmentation(request.first), open_segmentation(request.second)
    apart = require_same_grid(first, second)
    matched, notices = _matched(first, second, request.label)
    scan = first.scan
    if request.scan is not None:
        scan = open_scan(request.scan)
        apart = (*apart, *require_same_grid(first, scan))
    first, second = best_placed((first, second), scan)
    with Outputs(files, (request.first, request.second, request.scan), request.overwrite) as outputs:
        found = compared(first.segmentation, second.segmentation, matched, request.tolerance)
        if request.output is not None and write is not None:
            write_bytes(outputs.stage(request.output), write([one.row() for one in found]).encode())
        if request.picture is not None:
            _draw(first, second, matched, scan, outputs.stage(request.picture))
    said = (*first.scan.notices, *second.scan.notices, *apart, *notices)
    return CompareLabelsResult(found, request.tolerance, files, said)


def _draw(first: LabelFile, second: LabelFile, matched: list[Pair], scan: Scan, path: Path) -> None:
    names = stem_of(first.path), stem_of(second.path)
    if names[0] == names[1]:
        names = "first", "second"
    if scan.slice_axis != first.segmentation.slice_axis:
        scan = scan.sliced_along(first.segmentation.slice_axis)
    found = difference(first.segmentation, second.segmentation, matched, names)
    save_preview(scan, found, path, _largest(found), {one.name: one.color for one in found.objects})


def _largest(found: Segmentation) -> Remarks:
    """The frames on which two outlines differ most, so that they are shown first."""
    differing: dict[int, int] = {}
    for one in found.objects[1:]:
        for frame in one.frames:
            differing[frame] = differing.get(frame, 0) + one.masks[frame].area
    worst = sorted(differing, key=lambda frame: -differing[frame])[:SHOWN_FIRST]
    return Remarks(doubts={frame: (("the outlines", f"{differing[frame]} pixels differ"),) for frame in worst})


def _matched(first: LabelFile, second: LabelFile, names: tuple[str, ...]) -> tuple[list[Pair], tuple[Notice, ...]]:
    """The pairs that are asked for, and what should be known of them."""
    found = pairs(first, second)
    if names:
        called = {pair[0]: pair for pair in found}
        for name in names:
            if name not in called:
                _ = first.segmentation[name] if name not in second.segmentation else second.segmentation[name]
                raise PromptError("E-OBJECT-UNKNOWN", f'There is no pair "{name}".', f"There are: {', '.join(called)}.")
        found = [called[name] for name in names]
    notices = []
    for name, own, other in found:
        if own is None or other is None:
            lacking = first.path.name if own is None else second.path.name
            notices.append(Notice("W-COMPARE-MISSING", f"{lacking} has no {name}."))
        elif own != other and len(found) == 1:
            text = f"{own} of {first.path.name} is compared with {other} of {second.path.name}."
            notices.append(Notice("W-COMPARE-NAMES", text))
    return found, tuple(notices)
