"""Intervals and comparisons beside scipy, statsmodels' numbers, and what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from delineate.core.rle import Rle
from delineate.evaluation.protocol import Outcome
from delineate.evaluation.statistics import LEAST_SUBJECTS, Structure, comparisons, estimate, holm, signed_rank
from delineate.evaluation.tables import Measured

NOTHING = Rle.encode(np.zeros((2, 2), bool))


def measured(predictor: str, values: list[float], dataset: str = "d", each: int = 1) -> list[Measured]:
    """Structures of subjects 0, 1, 2, ..., ``each`` of them a subject."""
    return [
        Measured(
            predictor,
            f"case{n}",
            dataset,
            Outcome("x", 1, {"dice": value}, False, 0.1, 0, NOTHING),
            f"{dataset}/{n // each}",
        )
        for n, value in enumerate(values)
    ]


def structures(values: np.ndarray, each: int = 1) -> dict[Structure, float]:
    return {("d", str(n // each), f"case{n}", 1): float(value) for n, value in enumerate(values)}


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(1).beta(8, 2, 60)
    mean, interval = estimate(structures(values))
    reference = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=2).confidence_interval
    assert mean == pytest.approx(values.mean())
    assert interval == pytest.approx(tuple(reference), abs=0.004)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    inside = [low <= 0.8 <= high for low, high in (estimate(structures(rng.beta(8, 2, 40)))[1] for _ in range(200))]
    assert 0.89 <= np.mean(inside) <= 0.99


def test_structures_of_one_subject_are_not_taken_for_several_subjects() -> None:
    alike = np.repeat(np.random.default_rng(4).beta(8, 2, 12), 10)
    _, (low, high) = estimate(structures(alike, each=10))
    _, (narrow_low, narrow_high) = estimate(structures(alike))
    assert high - low > 2.5 * (narrow_high - narrow_low)


@pytest.mark.parametrize(
    "subjects", [pytest.param(0, id="none"), pytest.param(1, id="one"), pytest.param(LEAST_SUBJECTS - 1, id="few")]
)
def test_few_subjects_have_no_interval(subjects: int) -> None:
    assert np.isnan(estimate(structures(np.full(subjects, 0.5)))[1]).all()


def test_a_large_data_set_does_not_decide() -> None:
    large, small = structures(np.full(500, 0.9)), {("e", "0", "case", 1): 0.5}
    assert estimate({**large, **small})[0] == pytest.approx(0.7)


def test_differences_are_paired_and_on_what_both_were_measured_on() -> None:
    rng = np.random.default_rng(5)
    first = rng.uniform(0.2, 0.9, 40)
    better = first + rng.normal(0.02, 0.01, 40)
    rows = comparisons([*measured("a", [*first, 0.1]), *measured("b", list(better))], ("a", "b"), "dice")
    assert rows[1].difference == pytest.approx((better - first).mean()) and rows[1].subjects == 40
    assert rows[1].difference_interval[0] > 0 and rows[1].p < 1e-6, "though each varies far more than that"
    assert rows[1].p == pytest.approx(stats.wilcoxon(better - first).pvalue)
    assert np.isnan([rows[0].difference, rows[0].p]).all() and rows[0].interval[0] < rows[0].mean


def test_no_overall_number_without_every_data_set() -> None:
    both = [*measured("a", [0.5] * 6), *measured("a", [0.6] * 6, "e"), *measured("b", [0.5] * 6)]
    rows = comparisons(both, ("a", "b"), "dice")
    assert rows[0].mean == pytest.approx(0.55) and np.isnan(rows[1].mean) and np.isnan(rows[1].interval).all()
    assert rows[1].difference == 0 and rows[1].p == 1


def test_values_that_are_no_numbers_do_not_take_part() -> None:
    rows = comparisons(measured("a", [0.5, np.nan, np.inf, 0.7]), ("a",), "dice")
    assert rows[0].mean == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("ps", "expected"),
    [
        pytest.param([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02], id="wikipedia"),
        pytest.param([float("nan"), 0.02], [float("nan"), 0.02], id="one-comparison"),
        pytest.param([0.9, 0.8], [1.0, 1.0], id="at-most-one"),
        pytest.param([], [], id="none"),
    ],
)
def test_holms_correction(ps: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(holm(ps), expected)


def test_nothing_differs() -> None:
    assert signed_rank(np.zeros(8)) == 1


def test_the_order_of_cases_changes_no_number() -> None:
    rng = np.random.default_rng(5)
    values = structures(rng.beta(4, 2, 21), each=3) | {("e", "1", "x", 1): 0.4, ("e", "0", "y", 1): 0.9}
    backwards = dict(reversed(values.items()))
    assert estimate(values) == estimate(backwards)
