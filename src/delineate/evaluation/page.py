"""A run as one HTML file to open anywhere: tables, curves, the worst cases as pictures. No script, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from delineate.evaluation.chart import chart, in_steps
from delineate.evaluation.markdown import comparison_rows, failure_line, number
from delineate.evaluation.predictors import shown_name
from delineate.evaluation.protocol import Column, Curve
from delineate.evaluation.tables import EvaluationReport
from delineate.io.own_files import MARK

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}.best{font-weight:700}img{max-width:100%}
svg{max-width:100%}.note{color:#666}summary{cursor:pointer;padding:.2rem 0}.wide{overflow-x:auto}
dt{font-weight:600}dd{margin:0 0 .5rem 1.5rem}
"""
MANY = 8  # numbers of a predictor, beyond which there is one a line, and predictors are columns


def page(report: EvaluationReport, worst: Mapping[str, bytes], card: Sequence[str] = ()) -> str:
    """The report as HTML.

    worst  pictures (PNG) of the worst cases of predictors, put into the file; the first one open, others folded away
    card   lines "what  words" to head the page with
    """
    headline = report.headline
    parts = [
        f"<h1>{escape(report.protocol.name)}</h1><p>{escape(report.protocol.about)} Seed {report.seed}.</p>",
        _card([*card, *report.about]),
        f"<h2>{escape(headline.title)} by data set</h2>",
        _by_dataset(report, headline),
        "<h2>Over all data sets</h2>",
        _summary(report),
        "<h2>How sure that is</h2>",
        _comparisons(report),
        f"<h2>How {escape(headline.title)} is spread</h2>",
        _spread(report, headline),
    ]
    if report.supplement is not None:
        parts.append(report.supplement.html)
    curve = curve_chart(report)
    if curve:
        parts += [f"<h2>{escape(_curve(report).title)}</h2>", curve]
    parts += ["<h2>Each data set</h2>", *(_details(report.of_dataset(name), name) for name in report.datasets)]
    if worst:
        parts += [
            "<h2>The worst cases</h2>",
            "<p class=note>The truth in green, what was found in magenta; of volumes and videos the worst frame.</p>",
            *(_worst(name, picture, place == 0) for place, (name, picture) in enumerate(worst.items())),
        ]
    if report.failures:
        rows = "".join(f"<li>{escape(failure_line(failure))}</li>" for failure in report.failures)
        parts.append(f"<h2>Failed</h2><ul>{rows}</ul>")
    title = escape(report.protocol.name)
    body = "\n".join(parts)
    generator = f'<meta name=generator content="{MARK}">'
    return f"<!doctype html><meta charset=utf-8>{generator}<title>{title}</title><style>{STYLE}</style>\n{body}\n"


def _worst(name: str, picture: bytes, is_open: bool) -> str:
    shown = f'<img alt="the worst cases" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    return f"<details{' open' if is_open else ''}><summary>{escape(shown_name(name))}</summary>{shown}</details>"


def _card(lines: Sequence[str]) -> str:
    pairs = [line.partition(" ") for line in lines]
    rows = "".join(f"<dt>{escape(what)}</dt><dd>{escape(words.strip())}</dd>" for what, _, words in pairs)
    return f"<dl>{rows}</dl>" if rows else ""


def _by_dataset(report: EvaluationReport, column: Column) -> str:
    rows = []
    for line in report.by_dataset(column):
        best = line.best(column, column.digits)
        cells = "".join(
            f"<td{' class=best' if name in best else ''}>{number(line.values[name], column.digits)}</td>"
            for name in report.predictors
        )
        rows.append(f"<tr><td>{escape(line.name)}</td><td>{line.count}</td>{cells}</tr>")
    return _table(["data set", "n", *map(shown_name, report.predictors)], rows)


def _summary(report: EvaluationReport) -> str:
    columns = report.protocol.listed
    summaries = [report.summary(name) for name in report.predictors]
    failed = any(one.failed for one in summaries)
    also = ["of these failed"] if failed else []
    found = [["predictor", *(c.title for c in columns), "missed", *also, "n", "ms (median)"]]
    for one in summaries:
        numbers = [number(one.means.get(c.key, float("nan")), c.digits) for c in columns]
        counts = [
            str(one.missed),
            *([str(one.failed)] if failed else []),
            str(one.count),
            number(one.seconds * 1000, 0),
        ]
        found.append([shown_name(one.predictor), *numbers, *counts])
    if len(columns) > MANY:
        found = [list(line) for line in zip(*found, strict=True)]
    head, *lines = found
    return _table(head, [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines])


def _comparisons(report: EvaluationReport) -> str:
    head, *rows = comparison_rows(report)
    lines = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    note = (
        "Means over data sets. Intervals: bootstrap over subjects. p: Wilcoxon's signed-rank test over subjects, "
        "corrected after Holm for the number of predictors. Differences: on structures that both were measured on."
    )
    return f"{_table(head, lines)}<p class=note>{note}</p>"


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f"<div class=wide><table><tr>{titles}</tr>{''.join(rows)}</table></div>"


def _spread(report: EvaluationReport, column: Column) -> str:
    """For each predictor: which share of structures has at most this value."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for name in report.predictors:
        values = sorted(
            v for m in report.measured if m.predictor == name and np.isfinite(v := m.outcome.values[column.key])
        )
        if values:
            places = np.unique(np.linspace(0, len(values) - 1, min(60, len(values))).astype(int))
            lines[shown_name(name)] = in_steps([(values[n], (n + 1) / len(values)) for n in places])
    largest = max((x for line in lines.values() for x, _ in line), default=1.0)
    share = not column.low and largest <= 1  # of overlaps the whole range is shown
    return chart(lines, column.title, "share of structures", reach=1.0 if share else largest)


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
            lines[shown_name(one.predictor)] = sorted(found)
    curve = _curve(report)
    return chart(lines, curve.across, curve.up, reach=max(places.values()))


def _curve(report: EvaluationReport) -> Curve:
    return report.protocol.curve or Curve("IoU after each click", "clicks", "IoU")


def _details(report: EvaluationReport, name: str) -> str:
    """Every number of one data set, folded away."""
    count = len({(m.case, m.outcome.label) for m in report.measured})
    cases = len({m.case for m in report.measured})
    title = f"{escape(name)}: {_counted(count, 'structure')} in {_counted(cases, 'case')}"
    return f"<details><summary>{title}</summary>{_summary(report)}{curve_chart(report)}</details>"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
