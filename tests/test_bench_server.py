"""The benchmark of the server, with a model that needs no time."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bright_predictor import BrightPredictor
from delineate import bench_server, bench_wire

SERVER = (sys.executable, str(Path(__file__).with_name("bright_server.py")))


def test_every_row_is_measured_on_the_wire_and_has_its_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_wire, "COMMAND", SERVER)
    monkeypatch.setattr(bench_server, "shipped_predictor", BrightPredictor)
    monkeypatch.setattr(bench_server, "QUICK", bench_server.Load(2, 32, (24, 24, 6), 8, 2, 3, 0.3))
    said: list[str] = []
    rows = {one.what: one.value for one in bench_server.bench_server(quick=True, next_up=said.append)}
    assert list(rows) == said and len(rows) == 8
    for what, value in rows.items():
        assert re.fullmatch(r"[\d.]+( / \d+| s| a second| of 3).* \(goal: .+\)", value), (what, value)
    assert rows["lost by a dropped connection and kill -9, of all that was answered"].startswith("0 of 3;")
    assert float(next(value for what, value in rows.items() if "previews" in what).split()[0]) > 1
