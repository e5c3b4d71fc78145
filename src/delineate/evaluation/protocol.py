"""What a protocol is made of: a way to measure, its numbers, and the outcome for one structure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import PromptError
from delineate.core.rle import Rle
from delineate.data.cases import LabeledScan, Target, Task
from delineate.evaluation.column import Column
from delineate.evaluation.metrics import Metric
from delineate.evaluation.outline_metrics import added_columns
from delineate.predictors.capabilities import Scope
from delineate.predictors.frame_predictor import Predictor


@dataclass(frozen=True)
class Outcome:
    """How well one structure was outlined.

    values   by column; a missed structure's HD95 is infinite
    missed   nothing at all was outlined
    seconds  the predictor took (shared evenly where structures are followed together)
    frame    the frame to show: the one measured, or the worst of a volume or video
    outline  what was outlined there
    """

    structure: str
    label: int
    values: Mapping[str, float]
    missed: bool
    seconds: float
    frame: int
    outline: Rle


@dataclass(frozen=True)
class Curve:
    """A line through the columns that have a place (``Column.at``).

    title   of the chart
    across  what is counted: clicks, severity
    up      what is measured
    """

    title: str
    across: str
    up: str


@dataclass(frozen=True)
class Supplement:
    """What a protocol adds to a report beyond a number a structure.

    markdown, html  its part of the tables and of the page
    json            its part of the numbers' file, by key
    files           more files, by what follows the protocol's name
    """

    title: str
    markdown: str
    html: str
    json: Mapping[str, Any]
    files: Mapping[str, bytes]


Measure = Callable[[LabeledScan, Sequence[Target], Any, int], Iterator[Outcome]]  # a predictor of its scopes


@dataclass(frozen=True)
class Protocol:
    """A way to measure.

    tasks      what kinds of cases it takes
    columns    what it measures; the first one is the headline
    box_alone  whether every prompt is a box, so that the baselines can take part
    measure    (case, targets, predictor, seed) to one outcome a target
    curve      what the columns with a place show, if any have
    scopes     what the predictors it can measure work on
    supplement makes what is added to a report (``tables.EvaluationReport``) beyond these numbers
    further_files  what follows the protocol's name in the names of the files that the supplement writes
    """

    name: str
    about: str
    tasks: tuple[Task, ...]
    columns: tuple[Column, ...]
    box_alone: bool
    measure: Measure
    curve: Curve | None = None
    scopes: tuple[Scope, ...] = (Scope.FRAME,)
    supplement: Callable[[Any], Supplement] | None = None
    further_files: tuple[str, ...] = ()

    def require(self, predictor: Predictor) -> None:
        """Raise PromptError for a predictor that works on something else."""
        scope = predictor.capabilities.scope
        if scope not in self.scopes:
            raise PromptError(
                "E-EVAL-SCOPE",
                f"{predictor.record.name} works on: {scope}; {self.name} measures what works on: "
                f"{', '.join(self.scopes)}.",
                "Measure what is prompted in volumes with --protocol box-3d or volume-box, and what needs no prompt "
                "with --protocol classes.",
            )

    @property
    def measured(self) -> tuple[Column, ...]:
        """All numbers of an outcome: its own columns, and where it scores outlines, metrics added to the table."""
        scores_outlines = any(column.key == Metric.DICE for column in self.columns)
        return self.columns + (added_columns() if scores_outlines else ())

    @property
    def listed(self) -> tuple[Column, ...]:
        """The columns that tables show."""
        return tuple(column for column in self.measured if column.listed)


def outcome_of(
    target: Target,
    values: Mapping[str, float],
    seconds: float,
    frame: int,
    mask: NDArray[np.bool_],
    missed: bool | None = None,
) -> Outcome:
    """The outcome for a target. ``mask`` (height, width) is what was outlined on the frame to show."""
    nothing = not mask.any() if missed is None else missed
    plain = {str(key): float(value) for key, value in values.items()}
    return Outcome(target.name, target.label, plain, bool(nothing), seconds, frame, Rle.encode(mask))


def failed_outcome(target: Target, columns: Sequence[Column], size: tuple[int, int]) -> Outcome:
    """The outcome for a target that a predictor failed on, on frames of (height, width): the worst of every number."""
    nothing = Rle.encode(np.zeros(size, dtype=bool))
    values = {str(column.key): column.of_failure for column in columns}
    return Outcome(target.name, target.label, values, True, float("nan"), target.frame, nothing)
