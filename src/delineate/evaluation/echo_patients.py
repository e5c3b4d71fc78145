"""Volumes and ejection fractions patient by patient, from the discs of each view; how they agree with the reference."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from delineate.core.errors import InputError
from delineate.echo.agreement import Agreement, agreement
from delineate.echo.chamber import APART, DISCS, Chamber
from delineate.echo.record import View
from delineate.echo.volumes import area_length, ejection_fraction, simpson
from delineate.evaluation.agreement_chart import bland_altman, correlation
from delineate.evaluation.protocol import Supplement
from delineate.io.own_files import MARK

if TYPE_CHECKING:
    from delineate.evaluation.tables import EvaluationReport, Measured

VIEWS: Final = tuple(View)
REPORTED: Final = {"ef": ("EF", "%"), "edv": ("EDV", "ml"), "esv": ("ESV", "ml")}
QUANTITIES: Final = REPORTED | {
    "la_max": ("largest LA", "ml"), "la_min": ("smallest LA", "ml"), "la_emptying": ("LA emptying", "%"),
}  # fmt: skip
VENTRICLE, ATRIUM = "lv", "la"  # in the names of what is kept of a view
VOLUMES: Final = {  # phases at which a chamber is largest and smallest; names of both volumes and of what it empties
    VENTRICLE: (("ed", "es"), ("edv", "esv", "ef")),
    ATRIUM: (("es", "ed"), ("la_max", "la_min", "la_emptying")),
}
PATIENTS: Final = "-patients.csv"
BIPLANE, SINGLE = "biplane Simpson", "single-plane Simpson"
Values = Mapping[str, float]


@dataclass(frozen=True)
class PatientRow:
    """One patient with one predictor. Volumes are ml by the method of discs, None where pixels have no millimeters.

    method        biplane where both apical views are there
    *_reference   the same from the reference outlines; *_reported what the data set's table says
    la_max, la_min, la_emptying  of the left atrium, where each view has it: at the ventricle's end-systole and
                  end-diastole, and the share of the first that it empties, %
    *_area_length by areas and length
    remark        what is missing, in words
    """

    predictor: str
    dataset: str
    patient: str
    views: str
    method: str
    edv: float | None
    esv: float | None
    ef: float | None
    edv_reference: float | None
    esv_reference: float | None
    ef_reference: float | None
    edv_reported: float | None
    esv_reported: float | None
    ef_reported: float | None
    edv_area_length: float | None
    esv_area_length: float | None
    la_max: float | None
    la_min: float | None
    la_emptying: float | None
    la_max_reference: float | None
    la_min_reference: float | None
    la_emptying_reference: float | None
    la_max_area_length: float | None
    la_min_area_length: float | None
    remark: str


def patient_rows(report: EvaluationReport) -> list[PatientRow]:
    """A row a patient and predictor, of those whose left ventricle was measured in a long-axis view."""
    groups: dict[tuple[str, str, str], list[Values]] = {}
    for one in report.measured:
        values = one.outcome.values
        if "view" in values and VIEWS[int(values["view"])].is_long_axis:
            groups.setdefault((one.predictor, one.dataset, _patient(one)), []).append(values)
    return [_row(*key, views) for key, views in groups.items()]


def agreements(rows: Iterable[PatientRow], against: str = "reference") -> dict[str, Agreement]:
    """Of what is measured, by name; of rows of one predictor."""
    kept = list(rows)
    return {
        key: agreement(
            [_or_nan(getattr(row, key)) for row in kept], [_or_nan(getattr(row, f"{key}_{against}")) for row in kept]
        )
        for key in (REPORTED if against == "reported" else QUANTITIES)
    }


def patient_tables(report: EvaluationReport) -> Supplement:
    """What the protocol adds to a report: a table of patients, agreement in numbers and pictures."""
    rows = patient_rows(report)
    lines, parts = [], ["<h2>Volumes and ejection fraction</h2>"]
    found: dict[str, Any] = {}
    for predictor in report.predictors:
        own = [row for row in rows if row.predictor == predictor]
        for against in ("reference", "reported"):
            for key, one in agreements(own, against).items():
                if one.count:
                    lines.append(_agreement_line(predictor, key, against, one))
                    found.setdefault(predictor, {})[f"{key}_{against}"] = _known(asdict(one))
        parts += _pictures(predictor, own)
    head = ("predictor", "quantity", "against", "patients", "bias", "limits of agreement", "r", "mean error")
    parts.insert(1, _html_table(head, lines))
    table = [tuple(f for f in PatientRow.__dataclass_fields__), *(_cells(row) for row in rows)]
    parts.append(f"<details><summary>Each patient</summary>{_html_table(table[0], table[1:])}</details>")
    markdown = "\n".join(_markdown_line(line) for line in (head, ("---",) * len(head), *lines))
    return Supplement(
        title="Volumes and ejection fraction",
        markdown=markdown if lines else "No left ventricle was measured at end-diastole and end-systole.",
        html="\n".join(parts),
        json={"patients": [_known(asdict(row)) for row in rows], "agreement": found},
        files={PATIENTS: _csv(table).encode()},
    )


def _row(predictor: str, dataset: str, patient: str, views: list[Values]) -> PatientRow:
    apical = {VIEWS[int(v["view"])]: v for v in reversed(views)}
    chosen = _chosen(apical)
    calibrated = all(view["calibrated"] for view in chosen)
    found, true = (_measured(who, chosen, calibrated) for who in ("found", "true"))
    reported = {
        k: next((v[f"reported.{k}"] for v in (*chosen, *views) if f"reported.{k}" in v), None) for k in REPORTED
    }
    remarks = "; ".join(_remarks(views, apical, chosen, found, true))
    return PatientRow(
        predictor, dataset, patient, "+".join(sorted(str(view) or "?" for view in apical)),
        BIPLANE if len(chosen) > 1 else SINGLE,
        found["edv"], found["esv"], found["ef"], true["edv"], true["esv"], true["ef"],
        reported["edv"], reported["esv"], reported["ef"], found["edv_area_length"], found["esv_area_length"],
        found["la_max"], found["la_min"], found["la_emptying"], true["la_max"], true["la_min"], true["la_emptying"],
        found["la_max_area_length"], found["la_min_area_length"], remarks,
    )  # fmt: skip


def _chosen(apical: Mapping[View, Values]) -> list[Values]:
    """Both apical views, where their lengths can be put together; else one, if possible with millimeters."""
    both = [apical[view] for view in (View.A4C, View.A2C) if view in apical]
    if len(both) > 1 and both[0]["calibrated"] == both[1]["calibrated"]:
        return both
    return [max(both or apical.values(), key=lambda view: view["calibrated"])]


def _remarks(
    views: Sequence[Values], apical: Mapping[View, Values], chosen: Sequence[Values],
    found: Mapping[str, float | None], true: Mapping[str, float | None],
) -> Iterator[str]:  # fmt: skip
    """What is missing, and what was done without it."""
    if len(chosen) < 2:
        yield "one view only" if len(apical) < 2 else f"of one view only, {VIEWS[int(chosen[0]['view'])] or '?'}"
    if len(views) > len(apical):
        yield "of several clips of a view the first"
    if not all(view["calibrated"] for view in chosen):
        yield "pixels have no millimeters: no volumes"
    if true["ef"] is None:
        yield "the reference does not outline both end-diastole and end-systole"
    elif found["ef"] is None:
        yield "nothing outlined at end-diastole or end-systole"
    apart = max(view.get(f"found.{VENTRICLE}.{phase}.apart", 0.0) for view in chosen for phase in ("ed", "es"))
    if apart > APART:
        yield f"{100 * apart:.0f} % of an outline lies apart from the ventricle"


def _measured(who: str, views: list[Values], calibrated: bool) -> dict[str, float | None]:
    """Volumes of both chambers and their shares from the numbers of one or two views; None where one is missing."""
    found: dict[str, float | None] = {}
    for part, (phases, (large, small, share)) in VOLUMES.items():
        found |= dict.fromkeys((large, small, share, f"{large}_area_length", f"{small}_area_length"))
        ends = [[one for view in views if (one := _chamber(view, f"{who}.{part}.{p}")) is not None] for p in phases]
        if any(len(chambers) < len(views) for chambers in ends):
            continue
        (most, least), areas = ([way(*chambers) for chambers in ends] for way in (simpson, area_length))
        with suppress(InputError):
            found[share] = ejection_fraction(most, least)
            if calibrated:
                found |= {large: most, small: least, f"{large}_area_length": areas[0], f"{small}_area_length": areas[1]}
    return found


def _chamber(values: Values, name: str) -> Chamber | None:
    if f"{name}.length" not in values:
        return None
    discs = np.array([values[f"{name}.d{n}"] for n in range(1, DISCS + 1)])
    nowhere = np.zeros((0, 2))
    return Chamber(nowhere, (0.0, 0.0), values[f"{name}.length"], values[f"{name}.area"], 0.0, discs, 0.0)


def _patient(one: Measured) -> str:
    return (one.subject or one.case).removeprefix(f"{one.dataset}/")


def _pictures(predictor: str, rows: list[PatientRow]) -> list[str]:
    parts = []
    for key, (title, unit) in QUANTITIES.items():
        pairs = [(getattr(row, key), getattr(row, f"{key}_reference")) for row in rows]
        known = [(float(m), float(r)) for m, r in pairs if m is not None and r is not None]
        if len(known) > 1:
            words = f"{title}, {unit}"
            parts.append(f"<h3>{escape(predictor)}: {title}</h3>")
            parts.append(f"<div class=wide>{bland_altman(known, words)}{correlation(known, words)}</div>")
    return parts


def _agreement_line(predictor: str, key: str, against: str, one: Agreement) -> tuple[str, ...]:
    title, unit = QUANTITIES[key]
    limits = f"{one.low:.1f} to {one.high:.1f}" if np.isfinite(one.low) else "–"
    r = f"{one.correlation:.3f}" if np.isfinite(one.correlation) else "–"
    numbers = (str(one.count), f"{one.bias:+.1f}", limits, r, f"{one.error:.1f}")
    return predictor, f"{title} ({unit})", f"{against} outlines" if against == "reference" else "the table", *numbers


def _cells(row: PatientRow) -> tuple[str, ...]:
    return tuple(f"{v:.1f}" if isinstance(v, float) else "" if v is None else str(v) for v in asdict(row).values())


def _csv(table: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table[0], "made_by"])
    writer.writerows([*line, "" if number else MARK] for number, line in enumerate(table[1:]))
    return text.getvalue()


def _html_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = "".join(f"<th>{escape(one)}</th>" for one in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class=wide><table><tr>{titles}</tr>{lines}</table></div>"


def _markdown_line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in fields.items()}
