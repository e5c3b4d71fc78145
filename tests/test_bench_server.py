"""The benchmark of the server, with a model that needs no time."""

from __future__ import annotations

import re

import pytest

from bright_predictor import BrightPredictor
from delineate import bench_server as module
from delineate.bench_server import Load, bench_server


def test_every_row_is_measured_on_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "shipped_predictor", BrightPredictor)
    monkeypatch.setattr(module, "QUICK", Load(2, 32, (24, 24, 6), 8, 2, 3))
    said: list[str] = []
    rows = {one.what: one.value for one in bench_server(quick=True, next_up=said.append)}
    assert list(rows) == said and len(rows) == 8
    for what, value in rows.items():
        assert re.match(r"\d+ / \d+ ms" if "p95" in what else r"[\d.]+ s|3 of 3 there, \d+ ms", value), (what, value)
