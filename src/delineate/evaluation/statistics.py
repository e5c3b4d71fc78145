"""How sure the numbers of a table are: intervals, and predictors compared on the same subjects.

What varies is the subject: structures of one scan, and scans of one person, are alike, so that whole subjects are drawn
anew (cluster bootstrap, percentile intervals; Efron and Tibshirani 1993, chapter 13), within each data set. Differences
are paired: what one predictor has more than the other on the same structure. Their p values are of Wilcoxon's
signed-rank test over subjects, corrected for several comparisons after Holm (1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from delineate.evaluation.tables import Measured

DRAWS: Final = 2000
LEVEL: Final = 0.95
SEED: Final = 0  # the same interval each time
LEAST_SUBJECTS: Final = 5  # fewer say nothing of others like them
AT_ONCE: Final = 2**22  # numbers drawn at a time

Interval = tuple[float, float]
Structure = tuple[str, str, str, int]  # data set, subject, case, label


@dataclass(frozen=True)
class Comparison:
    """One predictor beside the first one of the report.

    mean        of the headline, over data sets, and its 95 % interval
    difference  to the first predictor on the structures that both were measured on, and its interval; nan for itself
    p           of no difference, corrected for as many comparisons as there are; nan for the first
    subjects    that the difference is over
    """

    predictor: str
    mean: float
    interval: Interval
    difference: float
    difference_interval: Interval
    p: float
    subjects: int


NO_INTERVAL: Final[Interval] = (float("nan"), float("nan"))


def comparisons(measured: Sequence[Measured], predictors: Sequence[str], key: str) -> list[Comparison]:
    """Every predictor, in their order, by the number ``key``; values that are not finite do not take part."""
    values = {name: _values(measured, name, key) for name in predictors}
    first, everywhere = values[predictors[0]], {one.dataset for one in measured}
    rows: list[Comparison] = []
    for name, own in values.items():
        gains = {} if own is first else {at: value - first[at] for at, value in own.items() if at in first}
        whole = {at[0] for at in own} == everywhere  # else it has no overall number
        mean, interval = estimate(own if whole else {})
        difference, difference_interval = estimate(gains)
        by_subject = _by_subject(gains)
        rows.append(
            Comparison(
                name,
                mean,
                interval,
                difference,
                difference_interval,
                signed_rank(by_subject[0] / by_subject[1]) if gains else float("nan"),
                len(by_subject[0]),
            )
        )
    corrected = holm([row.p for row in rows])
    return [
        Comparison(r.predictor, r.mean, r.interval, r.difference, r.difference_interval, p, r.subjects)
        for r, p in zip(rows, corrected, strict=True)
    ]


def estimate(values: Mapping[Structure, float]) -> tuple[float, Interval]:
    """The mean over data sets of the mean over structures, and its bootstrap interval over subjects.

    (nan, nan) for the interval of fewer than LEAST_SUBJECTS subjects. A data set of one subject adds nothing to it.
    """
    if not values:
        return float("nan"), NO_INTERVAL
    rng = np.random.default_rng(SEED)
    datasets = sorted({structure[0] for structure in values})
    means, drawn, subjects = [], np.zeros(DRAWS), 0
    for dataset in datasets:
        sums, counts = _by_subject({at: value for at, value in values.items() if at[0] == dataset})
        subjects += len(sums)
        means.append(sums.sum() / counts.sum())
        drawn += _drawn_means(rng, sums, counts) / len(datasets)
    if subjects < LEAST_SUBJECTS:
        return float(np.mean(means)), NO_INTERVAL
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(np.mean(means)), (float(low), float(high))


def signed_rank(differences: NDArray[np.float64]) -> float:
    """p of Wilcoxon's signed-rank test, two-sided; 1 where nothing differs."""
    from scipy.stats import wilcoxon  # half a second, for tables alone

    return float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0


def holm(ps: Sequence[float]) -> list[float]:
    """p values corrected for as many tests as there are finite ones (Holm's step-down)."""
    known = sorted((p, n) for n, p in enumerate(ps) if np.isfinite(p))
    corrected, least = list(ps), 0.0
    for rank, (p, n) in enumerate(known):
        least = max(least, min(1.0, p * (len(known) - rank)))
        corrected[n] = least
    return corrected


def _values(measured: Sequence[Measured], predictor: str, key: str) -> dict[Structure, float]:
    own = (m for m in measured if m.predictor == predictor and np.isfinite(m.outcome.values[key]))
    return {(m.dataset, m.subject, m.case, m.outcome.label): float(m.outcome.values[key]) for m in own}


def _by_subject(values: Mapping[Structure, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of the values, and how many there are, for each subject; in an order that no list of cases has a say in."""
    subjects: dict[tuple[str, str], list[float]] = {}
    for (dataset, subject, *_), value in values.items():
        subjects.setdefault((dataset, subject), []).append(value)
    lists = [sorted(subjects[name]) for name in sorted(subjects)]
    return np.array([sum(v) for v in lists], float), np.array([len(v) for v in lists], float)


def _drawn_means(
    rng: np.random.Generator, sums: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Means over structures of DRAWS samples of as many subjects, drawn with replacement."""
    several, means = len(sums), np.empty(DRAWS)
    step = max(1, AT_ONCE // several)
    for start in range(0, DRAWS, step):
        stop = min(DRAWS, start + step)
        times = rng.multinomial(several, np.full(several, 1 / several), stop - start)
        means[start:stop] = (times @ sums) / (times @ counts)
    return means
