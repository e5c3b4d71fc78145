"""What was measured, summed up: by data set, by structure, over all data sets.

A data set's number is the mean over its structures, the overall one the mean over data sets, so that the largest set
does not decide; who was not measured on all of them gets no overall number. A missed structure counts (as 0 overlap),
and so does every structure of a case that a predictor failed on; a mean of distances is over the structures that were
found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from delineate.core.manifest import ModelRecord
from delineate.evaluation.protocol import Supplement
from delineate.evaluation.protocols import Column, Outcome, Protocol
from delineate.evaluation.statistics import Comparison, comparisons

WORST_OF_A_DATASET = 2


@dataclass(frozen=True)
class Measured:
    """One structure of one case, outlined by one predictor.

    subject  whose scan it is, as far as is known
    failed   the predictor ended in an error: the outcome is the worst there is
    """

    predictor: str
    case: str
    dataset: str
    outcome: Outcome
    subject: str = ""
    failed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """The case's, as ``Case.key``."""
        return self.dataset, self.case


@dataclass(frozen=True)
class Failure:
    """A case that a predictor was not measured on, and why.

    counted  whether its structures count as failed: the predictor ended in an error. Else the scan or its labels could
             not be read, or the predictor does not take such prompts
    """

    predictor: str
    case: str
    reason: str
    counted: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a table: a group of structures, and for each predictor what was measured on it.

    count   structures, each counted once
    values  predictor to the mean of one column; nan where it was not measured
    """

    name: str
    count: int
    values: Mapping[str, float]

    def best(self, column: Column, digits: int) -> frozenset[str]:
        """The predictors whose printed number is the best one."""
        printed = {name: round(value, digits) for name, value in self.values.items() if np.isfinite(value)}
        if not printed:
            return frozenset()
        wanted = min(printed.values()) if column.low else max(printed.values())
        return frozenset(name for name, value in printed.items() if value == wanted)


@dataclass(frozen=True)
class Summary:
    """One predictor over everything.

    means    by column, mean over data sets
    found    the headline over found structures only, mean over data sets
    missed   structures it outlined nothing of
    failed   of those: structures it ended in an error on
    seconds  median for a structure
    """

    predictor: str
    means: Mapping[str, float]
    found: float
    missed: int
    count: int
    seconds: float
    failed: int = 0


@dataclass(frozen=True)
class EvaluationReport:
    """Everything one run measured.

    left_out    cases that were not measured, because a model learned from them
    distrusted results of earlier runs that were edited since they were written: measured again
    about       lines "what  words": when, with which version and command, on which scans
    """

    protocol: Protocol
    predictors: tuple[str, ...]
    records: Mapping[str, ModelRecord]
    measured: tuple[Measured, ...]
    failures: tuple[Failure, ...]
    seed: int
    left_out: int = 0
    distrusted: int = 0
    about: tuple[str, ...] = ()

    @property
    def headline(self) -> Column:
        return self.protocol.columns[0]

    @property
    def answered(self) -> tuple[Measured, ...]:
        """Structures that a predictor gave an answer for, right or wrong."""
        return tuple(m for m in self.measured if not m.failed)

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m.dataset for m in self.measured))

    def by_dataset(self, column: Column) -> list[Line]:
        """One line a data set, and the mean over data sets last."""
        lines = self._lines(column, lambda m: m.dataset)
        if not lines:
            return []
        means = {name: float(np.mean([line.values[name] for line in lines])) for name in self.predictors}
        return [*lines, Line("mean over data sets", sum(line.count for line in lines), means)]

    def by_structure(self, column: Column) -> list[Line]:
        """One line for each kind of structure of each data set."""
        return self._lines(column, lambda m: f"{m.dataset}: {m.outcome.structure}")

    def summary(self, name: str) -> Summary:
        """One predictor over everything."""
        own = [m for m in self.measured if m.predictor == name]
        found = [m for m in own if not m.outcome.missed]
        seconds = [m.outcome.seconds for m in own if not m.failed]
        return Summary(
            name,
            {c.key: line.values[name] for c in self.protocol.measured for line in self.by_dataset(c)[-1:]},
            _mean([_mean_of([m for m in found if m.dataset == d], self.headline) for d in self.datasets]),
            len(own) - len(found),
            len(own),
            float(np.median(seconds)) if seconds else float("nan"),
            sum(m.failed for m in own),
        )

    @cached_property
    def supplement(self) -> Supplement | None:
        """What the protocol adds beyond these numbers; None of most."""
        return None if self.protocol.supplement is None else self.protocol.supplement(self)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every predictor with its interval, and beside the first one."""
        return comparisons(self.measured, self.predictors, self.headline.key)

    def of_dataset(self, name: str) -> EvaluationReport:
        """The same report of one data set alone."""
        return replace(self, measured=tuple(m for m in self.measured if m.dataset == name), failures=())

    def worst(self, predictor: str, count: int) -> list[Measured]:
        """The structures that a predictor outlined worst by the headline: one of a case, a few of a data set."""
        sign = -1 if self.headline.low else 1
        own = [m for m in self.measured if m.predictor == predictor]
        ranked = sorted(own, key=lambda m: sign * m.outcome.values[self.headline.key])
        cases: set[tuple[str, str]] = set()
        shown: Counter[str] = Counter()
        chosen = []
        for one in ranked:
            if one.key not in cases and shown[one.dataset] < WORST_OF_A_DATASET:
                cases.add(one.key)
                shown[one.dataset] += 1
                chosen.append(one)
        return chosen[:count]

    def _lines(self, column: Column, group_of: Callable[[Measured], str]) -> list[Line]:
        groups: dict[str, list[Measured]] = {}
        for one in self.measured:
            groups.setdefault(group_of(one), []).append(one)
        return [
            Line(
                group,
                len({(m.case, m.outcome.label) for m in members}),
                {name: _mean_of([m for m in members if m.predictor == name], column) for name in self.predictors},
            )
            for group, members in groups.items()
        ]


def _mean_of(members: Sequence[Measured], column: Column) -> float:
    if column.of_case:  # every structure of a case repeats it
        members = list({(m.predictor, m.case): m for m in members}.values())
    return _mean([m.outcome.values[column.key] for m in members])


def _mean(values: Iterable[float]) -> float:
    """The mean of the finite ones; nan if there are none."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
