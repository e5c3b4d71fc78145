"""The files a run leaves: tables to read, numbers to compute with, and a sheet of the worst cases to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from delineate.data.cases import Case, Target, Task
from delineate.evaluation.markdown import as_markdown, number
from delineate.evaluation.page import page
from delineate.evaluation.protocols import Column, Protocol
from delineate.evaluation.statistics import Comparison
from delineate.evaluation.tables import EvaluationReport, Line, Measured
from delineate.io.outputs import Outputs
from delineate.io.own_files import MARK, png_mark

TRUTH, FOUND = (70, 220, 120), (245, 20, 255)  # magenta: no tissue has it
TILE, CAPTION, ACROSS, WORST = 240, 44, 4, 12  # pixels of a tile and its caption; tiles in a row and in all
SHEETS = 5  # predictors whose worst cases the page shows
GAP, PAPER = 8, (236, 236, 236)  # between tiles; round pictures that are no squares
LINES = 3, 2  # pixels of the truth's line and of what was found, which is drawn on top: where both are, both are seen


def report_files(folder: Path, protocol: str) -> tuple[Path, Path, Path, Path]:
    """Numbers (JSON), tables (Markdown), the page (HTML) and the sheet of the worst cases (PNG)."""
    json_file, tables, html, sheet = (folder / f"{protocol}{end}" for end in (".json", ".md", ".html", "-worst.png"))
    return json_file, tables, html, sheet


def further_files(folder: Path, protocol: Protocol) -> tuple[Path, ...]:
    """The files of a protocol that writes some of its own."""
    return tuple(folder / f"{protocol.name}{ending}" for ending in protocol.further_files)


def write_report(
    report: EvaluationReport,
    cases: Mapping[tuple[str, str], Case],
    folder: Path,
    outputs: Outputs,
    card: Sequence[str] = (),
    run: Mapping[str, Any] | None = None,
) -> None:
    """Write the files of ``report_files``; the sheet is of the first predictor, and only if a case was measured.

    The page also shows the worst of a few other predictors.

    card  lines to head the page with
    run   the request that repeats it, for the file of numbers
    """
    numbers, tables, html, sheet = (outputs.stage(path) for path in report_files(folder, report.protocol.name))
    record = {} if run is None else {"run": run}
    numbers.write_text(json.dumps({"mark": MARK, **as_json(report), **record}, indent=1, allow_nan=False) + "\n")
    tables.write_text(as_markdown(report))
    pictures = {}
    for place, name in enumerate(report.predictors[:SHEETS]):
        worst = report.worst(name, WORST if place == 0 else ACROSS)
        if worst:
            stream = BytesIO()
            worst_sheet(worst, report.headline, cases).save(stream, format="PNG", pnginfo=png_mark())
            pictures[name] = stream.getvalue()
    if report.predictors[0] in pictures:
        sheet.write_bytes(pictures[report.predictors[0]])
    html.write_text(page(report, pictures, card))
    for path, ending in zip(further_files(folder, report.protocol), report.protocol.further_files, strict=True):
        if report.supplement is not None:
            outputs.stage(path).write_bytes(report.supplement.files[ending])


def as_json(report: EvaluationReport) -> dict[str, Any]:
    """All numbers, without the outlines; null where a distance is infinite or nothing was measured."""
    summaries = {name: report.summary(name) for name in report.predictors}
    more = {} if report.supplement is None else dict(report.supplement.json)
    return {
        "format": "delineate-evaluation/1",
        "protocol": report.protocol.name,
        "seed": report.seed,
        "about": dict(line.split(" ", 1) for line in report.about),
        "predictors": {name: record.model_dump() for name, record in report.records.items()},
        "datasets": {c.key: [_line(line) for line in report.by_dataset(c)] for c in report.protocol.measured},
        "overall": {
            name: {
                "means": _finite(s.means),
                "missed": s.missed,
                "failed": s.failed,
                "n": s.count,
                "seconds_median": _or_null(s.seconds),
            }
            for name, s in summaries.items()
        },
        "comparisons": [_comparison(one) for one in report.comparisons],
        "structures": [
            {
                "predictor": m.predictor,
                "case": m.case,
                "dataset": m.dataset,
                "structure": m.outcome.structure,
                "label": m.outcome.label,
                "missed": m.outcome.missed,
                "failed": m.failed,
                "seconds": _or_null(m.outcome.seconds),
                "values": _finite(m.outcome.values),
            }
            for m in report.measured
        ],
        "failures": [vars(failure) for failure in report.failures],
        **more,
    }


def worst_sheet(worst: Sequence[Measured], column: Column, cases: Mapping[tuple[str, str], Case]) -> Image.Image:
    """A picture of outlines side by side: the truth in green, what was found in magenta."""
    rows = -(-len(worst) // ACROSS)
    across = min(ACROSS, len(worst))
    wide, high = TILE + GAP, TILE + CAPTION + GAP
    sheet = Image.new("RGB", (across * wide - GAP, rows * high - GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for place, one in enumerate(worst):
        left, top = place % ACROSS * wide, place // ACROSS * high
        try:
            tile = _tile(one, cases[one.key])
        except Exception:  # it was read a moment ago; the numbers count without a picture, too
            tile = Image.new("RGB", (TILE, TILE), PAPER)
        draw.rectangle((left, top, left + TILE - 1, top + TILE - 1), fill=PAPER)
        sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
        value = number(one.outcome.values[column.key], column.digits)
        lines = (f"{column.title} {value}, {one.outcome.structure}", one.case, _shown_of(one, cases[one.key]))
        draw.text((left + 2, top + TILE + 2), "\n".join(map(_short, lines)), fill="black", font_size=11)
    return sheet


def _shown_of(one: Measured, case: Case) -> str:
    """Which frame a tile shows, and whether anything was found there."""
    where = {Task.VOLUME: f"slice {one.outcome.frame}", Task.VIDEO: f"frame {one.outcome.frame}"}.get(case.task, "")
    nothing = "" if one.outcome.outline.decode().any() else "nothing found" + (" here" if where else "")
    return ": ".join(part for part in (where, nothing) if part)


def _tile(one: Measured, case: Case) -> Image.Image:
    outcome = one.outcome
    opened = case.open()
    truth = opened.truth(outcome.frame, Target(outcome.label, outcome.structure, outcome.frame, 0))
    found = outcome.outline.decode()
    window = _window(truth | found)
    frame = _displayed(opened.scan.pixels(outcome.frame)[window])
    scale = TILE / max(frame.shape[:2])
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    picture = np.array(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    for mask, color, width in ((truth, TRUTH, LINES[0]), (found, FOUND, LINES[1])):
        large = np.asarray(Image.fromarray(mask[window]).resize(size, Image.Resampling.NEAREST))
        picture[large & ~binary_erosion(large, iterations=width, border_value=1)] = color
    return Image.fromarray(picture)


def _window(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The part of the frame round a mask, with a third of its size on each side; everything if it is empty."""
    spans = []
    for axis in (0, 1):
        used = np.flatnonzero(mask.any(axis=1 - axis))
        first, last = (int(used[0]), int(used[-1])) if len(used) else (0, mask.shape[axis] - 1)
        margin = max(8, (last - first) // 3)
        spans.append(slice(max(0, first - margin), min(mask.shape[axis], last + 1 + margin)))
    return spans[0], spans[1]


def _displayed(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """Any frame as RGB, from its 1st to its 99th percentile."""
    values = np.asarray(frame, dtype=np.float64)
    finite = np.isfinite(values)
    low, high = np.percentile(values[finite], (1, 99)) if finite.any() else (0.0, 1.0)
    values = np.where(finite, values, low)
    gray = np.clip((values - low) / (high - low or 1.0) * 255, 0, 255).astype(np.uint8)
    return gray[..., :3] if gray.ndim == 3 and gray.shape[2] >= 3 else np.dstack([gray.reshape(gray.shape[:2])] * 3)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _comparison(one: Comparison) -> dict[str, Any]:
    """With null for what is not known."""
    fields = {key: value if isinstance(value, str | int) else _rounded(value) for key, value in vars(one).items()}
    return fields


def _rounded(value: float | tuple[float, float]) -> Any:
    return [_or_null(v) for v in value] if isinstance(value, tuple) else _or_null(value)


def _line(line: Line) -> dict[str, Any]:
    return {"name": line.name, "n": line.count, "values": _finite(line.values)}


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {key: _or_null(value) for key, value in values.items()}


def _or_null(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
