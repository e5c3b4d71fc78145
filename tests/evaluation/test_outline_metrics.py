"""Metrics of other distributions: measured and listed, and a broken one is named."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.errors import InputError
from delineate.evaluation.outline_metrics import OUTLINE_METRICS, OutlineMetric, added_columns, outline_scores
from delineate.evaluation.protocols import PROTOCOLS

MASK = np.eye(6, dtype=bool)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = OutlineMetric("broken", "broken", lambda pair: 1 / 0)
    monkeypatch.setitem(OUTLINE_METRICS, "broken", metric)


def test_an_added_metric_is_measured_and_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    area = OutlineMetric("area", "area", lambda pair: float(pair.predicted.sum()))
    monkeypatch.setitem(OUTLINE_METRICS, "area", area)
    assert outline_scores(MASK, MASK, (1.0, 1.0))["area"] == 6
    assert [column.key for column in added_columns()] == ["area"]
    assert "area" in [column.key for column in PROTOCOLS["box-2d"].listed]
    assert "area" not in [column.key for column in PROTOCOLS["clicks-2d"].listed]


@pytest.mark.usefixtures("broken")
def test_a_metric_that_fails_is_named() -> None:
    with pytest.raises(InputError, match='metric "broken" failed: ZeroDivisionError'):
        outline_scores(MASK, MASK, (1.0, 1.0))
