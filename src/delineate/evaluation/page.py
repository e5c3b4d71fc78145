"""A run as one HTML file to open anywhere: tables, curves, the worst cases as pictures. No script, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from delineate.evaluation.predictors import shown_name
from delineate.evaluation.protocol import Column, Curve
from delineate.evaluation.tables import EvaluationReport

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}.best{font-weight:700}img{max-width:100%}
svg{background:#fafafa;border:1px solid #ddd}.note{color:#666}summary{cursor:pointer;padding:.2rem 0}
dt{font-weight:600}dd{margin:0 0 .5rem 1.5rem}
"""
COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#b7950b", "#6c3483", "#566573")
WIDTH, HEIGHT, LEFT, LOW = 560, 300, 48, 34  # of a chart, and the room for its labels


def page(report: EvaluationReport, worst: Path | None, card: Sequence[str] = ()) -> str:
    """The report as HTML.

    worst  the picture of the worst cases, put into the file
    card   lines "what  words" to head the page with
    """
    headline = report.headline
    parts = [
        f"<h1>{escape(report.protocol.name)}</h1><p>{escape(report.protocol.about)} Seed {report.seed}.</p>",
        _card(card),
        f"<h2>{escape(headline.title)} by data set</h2>",
        _by_dataset(report, headline),
        "<h2>Over all data sets</h2>",
        _summary(report),
        f"<h2>How {escape(headline.title)} is spread</h2>",
        _spread(report, headline),
    ]
    curve = curve_chart(report)
    if curve:
        parts += [f"<h2>{escape(_curve(report).title)}</h2>", curve]
    parts += ["<h2>Each data set</h2>", *(_details(report.of_dataset(name), name) for name in report.datasets)]
    if worst is not None and worst.is_file():
        picture = base64.b64encode(worst.read_bytes()).decode()
        parts += [
            f"<h2>The worst of {escape(shown_name(report.predictors[0]))}</h2>",
            "<p class=note>The truth in green, what was found in red.</p>",
            f'<img alt="the worst cases" src="data:image/png;base64,{picture}">',
        ]
    if report.failures:
        rows = "".join(f"<li>{escape(f.case)}, {escape(f.predictor)}: {escape(f.reason)}</li>" for f in report.failures)
        parts.append(f"<h2>Failed</h2><ul>{rows}</ul>")
    title = escape(report.protocol.name)
    body = "\n".join(parts)
    return f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>\n{body}\n"


def _card(lines: Sequence[str]) -> str:
    pairs = [line.partition(" ") for line in lines]
    rows = "".join(f"<dt>{escape(what)}</dt><dd>{escape(words.strip())}</dd>" for what, _, words in pairs)
    return f"<dl>{rows}</dl>" if rows else ""


def _by_dataset(report: EvaluationReport, column: Column) -> str:
    rows = []
    for line in report.by_dataset(column):
        best = line.best(column, column.digits)
        cells = "".join(
            f"<td{' class=best' if name in best else ''}>{_number(line.values[name], column.digits)}</td>"
            for name in report.predictors
        )
        rows.append(f"<tr><td>{escape(line.name)}</td><td>{line.count}</td>{cells}</tr>")
    return _table(["data set", "n", *map(shown_name, report.predictors)], rows)


def _summary(report: EvaluationReport) -> str:
    columns = report.protocol.listed
    rows = []
    for one in map(report.summary, report.predictors):
        cells = "".join(f"<td>{_number(one.means.get(c.key, float('nan')), c.digits)}</td>" for c in columns)
        rows.append(
            f"<tr><td>{escape(shown_name(one.predictor))}</td>{cells}<td>{one.missed}</td><td>{one.count}</td>"
            f"<td>{_number(one.seconds * 1000, 0)}</td></tr>"
        )
    return _table(["predictor", *(c.title for c in columns), "missed", "n", "ms (median)"], rows)


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f"<table><tr>{titles}</tr>{''.join(rows)}</table>"


def _spread(report: EvaluationReport, column: Column) -> str:
    """For each predictor: which share of structures has at most this value."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for name in report.predictors:
        values = sorted(
            v for m in report.measured if m.predictor == name and np.isfinite(v := m.outcome.values[column.key])
        )
        if values:
            places = np.linspace(0, len(values) - 1, min(60, len(values))).astype(int)
            lines[name] = [(values[n], (n + 1) / len(values)) for n in places]
    most = max((x for line in lines.values() for x, _ in line), default=1.0)
    return _chart(lines, max(most, 1e-9), column.title, "share of structures")


def curve_chart(report: EvaluationReport) -> str:
    """What the protocol draws a curve of, means over data sets, as SVG; "" where nothing.

    A protocol that only names its columns IoU@1, IoU@3, ... has these drawn.
    """
    places = {c.key: c.at for c in report.protocol.columns if c.at is not None}
    if not places:
        places = {c.key: float(c.title[4:]) for c in report.protocol.columns if c.title.startswith("IoU@")}
    if not places:
        return ""
    lines = {}
    for one in map(report.summary, report.predictors):
        found = [(at, one.means[key]) for key, at in places.items() if np.isfinite(one.means.get(key, float("nan")))]
        if found:
            lines[one.predictor] = sorted(found)
    curve = _curve(report)
    return _chart(lines, max(places.values()), curve.across, curve.up)


def _curve(report: EvaluationReport) -> Curve:
    return report.protocol.curve or Curve("IoU after each click", "clicks", "IoU")


def _details(report: EvaluationReport, name: str) -> str:
    """Every number of one data set, folded away."""
    count = len({(m.case, m.outcome.label) for m in report.measured})
    cases = len({m.case for m in report.measured})
    title = f"{escape(name)}: {count} structures in {cases} cases"
    return f"<details><summary>{title}</summary>{_summary(report)}{curve_chart(report)}</details>"


def _chart(lines: Mapping[str, Sequence[tuple[float, float]]], most: float, across: str, up: str) -> str:
    """Lines over 0 to ``most`` and 0 to 1 as SVG."""
    wide, high = WIDTH - LEFT - 12, HEIGHT - LOW - 12
    parts = []
    for n in range(6):
        x, y = LEFT + wide * n / 5, 12 + high * (1 - n / 5)
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{y:.0f}" y2="{y:.0f}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" font-size="11" text-anchor="end">{n / 5:.1f}</text>')
        parts.append(
            f'<text x="{x:.0f}" y="{HEIGHT - LOW + 6}" font-size="11" text-anchor="middle">{most * n / 5:.3g}</text>'
        )
    for n, (name, points) in enumerate(lines.items()):
        colour = COLOURS[n % len(COLOURS)]
        path = " ".join(f"{LEFT + wide * x / most:.1f},{12 + high * (1 - y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{LEFT + 10}" y="{28 + 16 * n}" font-size="12" fill="{colour}">{escape(shown_name(name))}</text>'
        )
    parts.append(
        f'<text x="{LEFT + wide / 2}" y="{HEIGHT - 6}" font-size="12" text-anchor="middle">{escape(across)}</text>'
    )
    parts.append(
        f'<text x="12" y="{12 + high / 2}" font-size="12" text-anchor="middle" '
        f'transform="rotate(-90 12 {12 + high / 2})">{escape(up)}</text>'
    )
    return f'<svg width="{WIDTH}" height="{HEIGHT}" role="img">{"".join(parts)}</svg>'


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"
