"""Tables of the protocol ``interactive``: what an adapter taught, and kinds of prompts side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from delineate.evaluation.interactive_protocol import CLICKS, COLUMNS, DICE
from delineate.evaluation.markdown import markdown_table, number
from delineate.evaluation.predictors import shown_name
from delineate.evaluation.tables import EvaluationReport, Line


def taught_table(report: EvaluationReport, before: str, after: str) -> str:
    """What an adapter changed, by data set: "without to with", the mean over data sets last, NoC of both beside."""
    lines = {column.key: report.by_dataset(column) for column in COLUMNS}
    rows = []
    for n, line in enumerate(lines["box"]):
        cells = [f"{_of(lines, key, n, before, 3)} to {_of(lines, key, n, after, 3)}" for key, _ in DICE]
        rows.append([line.name, str(line.count), *cells, _of(lines, "noc85", n, after, 1)])
    head = ["data set", "n", *(title for _, title in DICE), "NoC@85"]
    curve = ", ".join(_of(lines, f"iou@{n}", -1, after, 2) for n in range(1, CLICKS + 1))
    never = float(lines["never85"][-1].values[after])
    said = f"Mean IoU after each of {CLICKS} clicks: {curve}. Never reached: {100 * never:.0f} % of structures."
    return markdown_table(head, rows) + f"\n\n{said}"


def prompts_table(report: EvaluationReport) -> str:
    """A row a kind of prompt, a column a predictor: means over data sets."""
    means = {name: report.summary(name).means for name in report.predictors}
    rows = [
        [column.title, *(number(means[name][column.key], column.digits) for name in report.predictors)]
        for column in COLUMNS
        if column.listed
    ]
    return markdown_table(["prompt", *map(shown_name, report.predictors)], rows)


def _of(lines: Mapping[str, Sequence[Line]], key: str, row: int, name: str, digits: int) -> str:
    return number(lines[key][row].values[name], digits)
