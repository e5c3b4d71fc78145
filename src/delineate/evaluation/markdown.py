"""Tables of a report in words: Markdown, and rows of cells for the page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from delineate.core.terminal_text import printable
from delineate.evaluation.predictors import shown_name
from delineate.evaluation.protocols import Column
from delineate.evaluation.tables import EvaluationReport, Failure, Line
from delineate.io.own_files import MARK

_ESCAPES = {"|": "\\|", "<": "&lt;", "[": "\\[", "`": "\\`"}  # bars end a cell, the others begin tags, links, code


def as_markdown(report: EvaluationReport) -> str:
    """The tables as Markdown: by data set, over all, by structure, and what failed."""
    headline = report.headline
    parts = [
        f"# {report.protocol.name}",
        f"{report.protocol.about} Seed {report.seed}.",
        "\n".join(f"- {_cell(line)}" for line in report.about),
        f"## {headline.title} by data set",
        dataset_table(report),
        "## Over all data sets",
        summary_table(report),
        "## How sure that is",
        comparison_table(report),
        f"## {headline.title} by structure",
        _table(report, headline, report.by_structure(headline), "structure"),
    ]
    if (more := report.supplement) is not None:
        parts += [f"## {more.title}", more.markdown]
    if report.failures:
        parts += ["## Failed", "\n".join(f"- {_cell(failure_line(f))}" for f in report.failures)]
    return "\n\n".join([f"<!-- {MARK} -->", *parts]) + "\n"


def dataset_table(report: EvaluationReport) -> str:
    """The headline by data set as a Markdown table: one column a predictor, the best in bold, the mean last."""
    return _table(report, report.headline, report.by_dataset(report.headline), "data set")


def summary_table(report: EvaluationReport) -> str:
    """Every measured number of every predictor as a Markdown table, means over data sets."""
    columns = report.protocol.listed
    summaries = [report.summary(name) for name in report.predictors]
    failed = any(one.failed for one in summaries)
    head = ["predictor", *(c.title for c in columns), f"{columns[0].title} of the found", "missed"]
    head += [*(["of these failed"] if failed else []), "n", "ms (median)"]
    rows = []
    for one in summaries:
        values = [number(one.means.get(c.key, float("nan")), c.digits) for c in columns]
        counts = [str(one.missed), *([str(one.failed)] if failed else []), str(one.count)]
        found, ms = number(one.found, columns[0].digits), number(one.seconds * 1000, 0)
        rows.append([shown_name(one.predictor), *values, found, *counts, ms])
    return markdown_table(head, rows)


def comparison_table(report: EvaluationReport) -> str:
    """How sure the headline is, and how sure its differences to the first predictor are, as a Markdown table."""
    head, *rows = comparison_rows(report)
    return markdown_table(head, rows)


def comparison_rows(report: EvaluationReport) -> list[list[str]]:
    """The cells of that table, the head first."""
    title, digits, first = report.headline.title, report.headline.digits, shown_name(report.predictors[0])
    rows = [["predictor", title, "95 % interval", f"more than {first}", "95 % interval", "p", "subjects"]]
    for one in report.comparisons:
        gain = f"{one.difference:+.{digits}f}" if np.isfinite(one.difference) else "–"
        intervals = [_interval(one.interval, digits), _interval(one.difference_interval, digits)]
        p = "–" if not np.isfinite(one.p) else f"{one.p:.3f}" if one.p >= 0.001 else "< 0.001"
        subjects = str(one.subjects) if one.subjects else "–"
        rows.append(
            [shown_name(one.predictor), number(one.mean, digits), intervals[0], gain, intervals[1], p, subjects]
        )
    return rows


def failure_line(failure: Failure) -> str:
    """A case that failed, in words."""
    counted = " (its structures count as missed)" if failure.counted else " (not measured)"
    return f"{failure.case}, {failure.predictor}: {failure.reason}{counted}"


def _table(report: EvaluationReport, column: Column, lines: Sequence[Line], what: str) -> str:
    rows = []
    for line in lines:
        best = line.best(column, column.digits)
        texts = {name: number(line.values[name], column.digits) for name in report.predictors}
        rows.append([line.name, str(line.count), *(f"**{t}**" if n in best else t for n, t in texts.items())])
    return markdown_table([what, "n", *map(shown_name, report.predictors)], rows)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(map(_cell, cells)) + " |" for cells in chain((head, rule), rows))


def _cell(text: str) -> str:
    """Text that is only text in Markdown: names come from data sets."""
    return "".join(_ESCAPES.get(c, c) for c in printable(text).replace("\n", " "))


def number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def _interval(interval: tuple[float, float], digits: int) -> str:
    low, high = interval
    return f"{low:.{digits}f} to {high:.{digits}f}" if np.isfinite(low) else "–"
