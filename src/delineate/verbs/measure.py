"""The verb ``measure``: volume, surface, diameters, place and intensities of outlined structures, as tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from delineate.core.errors import InputError, Notice, OutputError
from delineate.core.grid import Space
from delineate.io.atomic import write_bytes
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.outputs import Outputs
from delineate.io.own_files import MARK
from delineate.labels.grids import best_placed, require_same_grid
from delineate.labels.heart import HeartMeasures, ViewOptions, measure_heart, shows_a_ventricle
from delineate.labels.reading import LabelFile, open_segmentation
from delineate.outlines.measure import Measures
from delineate.outlines.measure import measure as measured
from delineate.verbs.request import Overwrite, Request

Rows = Sequence[dict[str, Any]]
DIGITS: Final = 6  # significant, in tables


class MeasureRequest(Request):
    """Everything ``measure`` needs to know."""

    input: Path
    scan: Path | None = Field(default=None, description="The scan that was outlined: for intensities.")
    label: tuple[str, ...] = Field(default=(), description="The structures that are measured; none named: all.")
    space: str = Field(default="RAS", description="Of centroids in mm: RAS or LPS.")
    output: Path | None = Field(default=None, description="Table of the structures: .csv, .json or .md.")
    slices: Path | None = Field(default=None, description="Table of every slice of them: .csv, .json or .md.")
    echo: bool = Field(default=False, description="The labels are frames of an echo clip: EF and volumes of the LV.")
    second_view: Path | None = Field(default=None, description="Labels of the other apical view: biplane volumes.")
    pixel_size: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(), description="mm of a pixel of clips that do not say it; of both views, or of each."
    )
    ed: tuple[int, ...] = Field(default=(), description="Frame of end-diastole, of each view; none: found.")
    es: tuple[int, ...] = Field(default=(), description="Frame of end-systole, of each view; none: found.")
    contours: Path | None = Field(default=None, description="Table of the endocardial contours, for strain.")
    overwrite: Overwrite = False

    @property
    def heart_is_asked(self) -> bool:
        """Whether something was said that only makes sense of a clip of the heart."""
        said = self.second_view, self.contours
        return self.echo or any(one is not None for one in said) or bool(self.pixel_size or self.ed or self.es)


@dataclass(frozen=True, eq=False)
class MeasureResult:
    """The numbers, and the tables that were written."""

    measures: Measures
    files: tuple[Path, ...]
    notices: tuple[Notice, ...]
    heart: HeartMeasures | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "files": [str(file) for file in self.files],
            "structures": [one.row() for one in self.measures.structures],
            "slices": [one.row() for one in self.measures.slices],
            "notices": [notice.message for notice in self.notices],
            **({} if self.heart is None else {"heart": self.heart.as_json()}),
        }


def measure(request: MeasureRequest) -> MeasureResult:
    """Measure outlines: ml, surface, long and short axis, place in mm, intensities; of structures and their slices.

    Of a clip that shows the left ventricle also its ejection fraction, volumes and contours (``labels.heart``).

    Raises
    ------
    DelineateError
        If a file cannot be read, a name is not there, the scan has another grid, or a table cannot be written.
    """
    if request.space not in (Space.RAS, Space.LPS):
        raise InputError("E-OPTION", f'--space "{request.space}" is neither RAS nor LPS.', "Choose one of these.")
    files = tuple(file for file in (request.output, request.slices, request.contours) if file is not None)
    writers = {file: table_writer(file) for file in files}
    source = open_view(request.input, request.heart_is_asked)
    scan, apart = None, tuple[Notice, ...]()
    if request.scan is not None:
        scan = open_scan(request.scan)
        if len(scan) == len(source.segmentation) and scan.slice_axis != source.segmentation.slice_axis:
            scan = scan.sliced_along(source.segmentation.slice_axis)
        apart = require_same_grid(source, scan)
        (source,) = best_placed((source,), scan)
    found = measured(source.segmentation, scan, request.label, Space(request.space))
    heart, notices = measured_heart(source, request)
    tables: dict[Path | None, Rows] = {
        request.output: [one.row() for one in found.structures],
        request.slices: [one.row() for one in found.slices],
        request.contours: [] if heart is None else heart.contour_rows(),
    }
    with Outputs(files, (request.input, request.scan, request.second_view), request.overwrite) as outputs:
        for file, write in writers.items():
            write_bytes(outputs.stage(file), write(tables[file]).encode())
    return MeasureResult(found, files, (*source.scan.notices, *apart, *notices), heart)


def open_view(path: Path, over_time: bool) -> LabelFile:
    """Labels; those that are stored as a stack of frames frame by frame, where they are seen over time."""
    stacked = over_time and path.name.lower().endswith((".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"))
    return open_segmentation(path, ReadOptions(slice_axis=2) if stacked else None)


def measured_heart(source: LabelFile, request: MeasureRequest) -> tuple[HeartMeasures | None, tuple[Notice, ...]]:
    """The left ventricle, where it is asked for or seen on a clip; and what should be known of it.

    Raises InputError where it was asked for and cannot be measured.
    """
    if not request.heart_is_asked and not shows_a_ventricle(source.segmentation):
        return None, ()
    views = [source.segmentation]
    if request.second_view is not None:
        views.append(open_view(request.second_view, True).segmentation)
    names = [path.name for path in (request.input, request.second_view) if path is not None]
    ends = [tuple(frames[n] if n < len(frames) else None for frames in (request.ed, request.es)) for n in (0, 1)]
    sizes = (request.pixel_size or (None,)) * 2  # one counts for both
    options = [ViewOptions(name, mm, *end) for name, mm, end in zip(names, sizes, ends, strict=False)]
    try:
        heart = measure_heart(list(zip(views, options, strict=True)))
    except InputError as error:
        if request.heart_is_asked:
            raise
        return None, (Notice("W-ECHO-NOT-MEASURED", f"No ejection fraction: {error.message}"),)
    return heart, heart.notices


def table_writer(path: Path) -> Callable[[Rows], str]:
    """What makes the text of a table, by the ending of its name. Raises OutputError for another ending."""
    writers = {".csv": as_csv, ".json": as_json_text, ".md": as_markdown}
    if path.suffix.lower() not in writers:
        raise OutputError(
            "E-OUTPUT-FORMAT",
            f'"{path.name}" does not say a format that a table can be saved in.',
            f"Use one of {', '.join(writers)}.",
        )
    return writers[path.suffix.lower()]


def as_csv(rows: Rows) -> str:
    """Rows as CSV; the last column, ``made_by``, marks the file as this program's."""
    text = io.StringIO()
    names = list(rows[0]) if rows else []
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "made_by"])
    for number, row in enumerate(rows):
        writer.writerow([*(_cell(row[name]) for name in names), "" if number else MARK])
    return text.getvalue()


def as_json_text(rows: Rows) -> str:
    """Rows as JSON, with full precision."""
    return json.dumps({"made_by": MARK, "rows": list(rows)}, indent=1, ensure_ascii=False) + "\n"


def as_markdown(rows: Rows) -> str:
    """Rows as a Markdown table; columns without a value are left out."""
    names = [name for name in (rows[0] if rows else {}) if any(row[name] is not None for row in rows)]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += ["| " + " | ".join(_cell(row[name]).replace("|", "\\|") for name in names) + " |" for row in rows]
    return "\n".join([*lines, "", f"<!-- {MARK} -->", ""])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
