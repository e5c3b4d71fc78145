"""Tables of a comparison, and in words where each model is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from delineate.evaluation.calibration import Calibration, Opinions
from delineate.evaluation.comparison import (
    BOXES,
    FOLLOWED_OPINION,
    OPINION,
    ROBUST,
    VIDEOS,
    VOLUMES,
    Comparison,
    followed_opinions,
)
from delineate.evaluation.markdown import dataset_table, markdown_table, number
from delineate.evaluation.metrics import Metric
from delineate.evaluation.picture_protocols import ERRORS, SAID, percent
from delineate.evaluation.predictors import pair_named, shown_name
from delineate.evaluation.tables import EvaluationReport
from delineate.evaluation.video_protocols import KEPT, MEAN
from delineate.io.own_files import MARK
from delineate.predictors.second_opinion import OpinionPrompt, OpinionTable

CLEARLY = 0.02  # Dice between two models of a data set from which on words name it
MOST_NAMED = 5  # of those
AGREEING = 0.9
_CALIBRATED = (0.05, 0.2, 0.4)  # box errors of the table of calibration


def tables(done: Comparison) -> dict[str, str]:
    """Every table as Markdown, by the name of its place in documents."""
    reports = done.reports
    found = {
        "compare-overview": overview(done),
        "compare-words": words(done),
        "compare-boxes": dataset_table(reports[BOXES]),
        "compare-sloppy": sloppy_table(reports[BOXES]),
        "compare-calibration": calibration_table(done),
        "compare-routing": routing_table(done),
    }
    followed = {"compare-volumes": VOLUMES, "compare-videos": VIDEOS}
    found |= {name: dataset_table(reports[protocol]) for name, protocol in followed.items() if protocol in reports}
    if ROBUST in reports:
        found["compare-robust"] = robust_table(reports[ROBUST])
    if FOLLOWED_OPINION in reports and OPINION in reports:
        found["compare-followed"] = followed_table(reports[FOLLOWED_OPINION], done.opinion_table)
    if OPINION in reports:
        found["compare-opinion"] = opinion_table(done)
    return found


def as_markdown(done: Comparison) -> str:
    """The page that a comparison leaves."""
    about = [f"- {what} {text}" for what, text in done.measured_with.items()]
    parts = [f"## {name.removeprefix('compare-')}\n\n{text}" for name, text in tables(done).items()]
    return "\n\n".join([f"<!-- {MARK} -->", f"# {' beside '.join(done.models)}", "\n".join(about), *parts]) + "\n"


def overview(done: Comparison) -> str:
    """One row a kind of task, one column a predictor."""
    boxes = done.reports[BOXES]
    rows = [
        _overall(boxes, f"{Metric.DICE}@{percent(error)}", f"box, sides off by up to {percent(error)} %: Dice")
        for error in (0.0, 0.05, 0.2, 0.4)
    ]
    for protocol, key, what in (
        (VOLUMES, Metric.DICE, "one box through a volume: Dice"),
        (VIDEOS, Metric.J_AND_F, "the first outline through a video: J&F"),
        (ROBUST, MEAN, "a corrupted picture, the true box: J"),
        (ROBUST, KEPT, "share of the clean picture's J that is kept"),
    ):
        if protocol in done.reports:
            rows.append(_overall(done.reports[protocol], key, what))
    every = (name for report in done.reports.values() for name in report.predictors)
    names = [name for name in dict.fromkeys(every) if pair_named(name) is None]
    cells = [[what, str(count), *_best(values, names)] for what, count, values in rows]
    return markdown_table(["mean over data sets", "n", *map(shown_name, names)], cells)


def _overall(report: EvaluationReport, key: str, what: str) -> tuple[str, int, dict[str, float]]:
    means = {name: report.summary(name).means.get(key, float("nan")) for name in report.predictors}
    return what, report.summary(report.predictors[0]).count, means


def _best(values: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """Numbers in a row, the best in bold."""
    best = max((round(value, 3) for value in values.values() if np.isfinite(value)), default=float("inf"))
    return [
        f"**{number(value, 3)}**" if round(value, 3) == best else number(value, 3)
        for value in (values.get(name, float("nan")) for name in names)
    ]


def words(done: Comparison) -> str:
    """On which data sets each of the first two models is clearly better from a box, in words."""
    report = done.reports[BOXES]
    first, second = done.models[:2]
    gaps = {line.name: line for line in report.by_dataset(report.headline)[:-1]}
    said = []
    for better, worse in ((second, first), (first, second)):
        lines = sorted(gaps.values(), key=lambda line: line.values[worse] - line.values[better])
        named = [
            f"{line.name} ({line.values[better]:.3f} : {line.values[worse]:.3f})"
            for line in lines
            if line.values[better] - line.values[worse] >= CLEARLY
        ]
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        shown = f": {', '.join(named[:MOST_NAMED])}{more}." if named else "."
        count = f"{len(named)} of {len(gaps)} data sets"
        said.append(f"{better} is better than {worse} by {CLEARLY} Dice or more on {count}{shown}")
    return "\n\n".join(said)


def sloppy_table(report: EvaluationReport) -> str:
    """Dice by how far the sides of the box are off, means over data sets."""
    rows = []
    for name in report.predictors:
        means = report.summary(name).means
        rows.append([shown_name(name), *(number(means[f"{Metric.DICE}@{percent(e)}"], 3) for e in ERRORS)])
    return markdown_table(["sides off by up to", *(f"{percent(e)} %" for e in ERRORS)], rows)


def robust_table(report: EvaluationReport) -> str:
    """J under each corruption, means over data sets."""
    columns = report.protocol.listed
    rows = [
        [shown_name(name), *(number(report.summary(name).means[c.key], 3) for c in columns)]
        for name in report.predictors
    ]
    return markdown_table(["predictor", *(c.title for c in columns)], rows)


def calibration_table(done: Comparison) -> str:
    """The IoU that each model says its outline has, beside the one it has."""
    rows = []
    for name in done.models:
        own = [m.outcome.values for m in done.reports[BOXES].answered if m.predictor == name]
        for error in _CALIBRATED:
            at = percent(error)
            found = Calibration.of([v[f"{SAID}@{at}"] for v in own], [v[f"{Metric.IOU}@{at}"] for v in own])
            rows.append([shown_name(name), f"box off by up to {at} %", *_calibrated(found)])
    return markdown_table(["predictor", "prompt", *_CALIBRATION_HEAD], rows)


_CALIBRATION_HEAD = ("n", "said IoU, mean", "true IoU, mean", "calibration error", "mean distance", "correlation")


def _calibrated(found: Calibration) -> list[str]:
    numbers = found.said, found.reached, found.error, found.apart, found.correlation
    return [str(found.count), *(number(value, 3) for value in numbers)]


def routing_table(done: Comparison) -> str:
    """What ``-m auto`` goes by."""
    first, routes = done.models[0], done.routing.routes
    head = ["modality", "prompt", "cases (subjects, sets)", first, "model", "", "difference", "95 %", "auto takes"]
    rows = [
        [
            one.modality,
            f"{one.prompt}, {one.through}",
            f"{one.cases} ({one.subjects}, {len(one.datasets)})",
            number(one.mean_default, 3),
            one.model,
            number(one.mean, 3),
            f"{one.difference:+.3f}",
            f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}" if one.interval else "–",
            one.model if one.better else first,
        ]
        for one in routes
    ]
    better = sum(one.better for one in routes)
    said = f"On {better} of these {len(routes)} kinds another model than {first} was clearly better."
    return markdown_table(head, rows) + f"\n\n{said}"


def opinion_table(done: Comparison) -> str:
    """What the first model says alone, and with the second one's agreement, beside what its outlines reached."""
    rows = list(_opinion_rows(done))
    return (
        markdown_table(["second model is given", "confidence", *_CALIBRATION_HEAD], rows)
        + "\n\n"
        + _agreement({str(how): found for how, found in done.asked.items()}, done.opinion_table.disagree_below)
    )


def _opinion_rows(done: Comparison) -> Iterator[list[str]]:
    for how, found in done.asked.items():
        given = {"box": "the same box", "outline": "the box around the outline"}[how]
        for confidence, said in (
            ("the first model's", found.said),
            ("the first model's, mapped anew", found.alone.left_out()),
            ("with the agreement", found.left_out()),
        ):
            yield [given, confidence, *_calibrated(Calibration.of(said, found.reached))]


def followed_table(report: EvaluationReport, table: OpinionTable) -> str:
    """The same of frames a structure was followed to, with the map for the box around an outline."""
    found = followed_opinions(report)
    mapped = table.maps[OpinionPrompt.OUTLINE].confidences(found.said, found.agreement)
    rows = [
        [words, *_calibrated(Calibration.of(said, found.reached))]
        for words, said in (("the first model's", found.said), ("with the agreement, as on single frames", mapped))
    ]
    head = ["confidence of frames followed to", *_CALIBRATION_HEAD]
    return markdown_table(head, rows) + "\n\n" + _agreement({"followed": found}, table.disagree_below)


def _agreement(asked: Mapping[str, Opinions], below: float) -> str:
    """IoU of the first model's outlines, by how far the second one agrees."""
    rows = []
    for how, found in asked.items():
        for words, own in (
            (f"{AGREEING} or more", found.agreement >= AGREEING),
            (f"{below} to {AGREEING}", (found.agreement < AGREEING) & (found.agreement >= below)),
            (f"under {below}: listed", found.agreement < below),
        ):
            reached = found.reached[own]
            least = number(float(reached.min()), 3) if len(reached) else "–"
            mean = number(float(np.mean(reached)), 3) if len(reached) else "–"
            rows.append([how, words, str(int(own.sum())), mean, least])
    return markdown_table(["second model is given", "agreement (Dice)", "n", "true IoU, mean", "least"], rows)
