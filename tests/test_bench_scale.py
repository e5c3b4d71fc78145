"""The benchmark of large scans, on small ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from delineate import bench_scale as module
from delineate.bench_scale import MEASURED, Size, bench_scale

TINY = Size((48, 40, 8), 5, (6, 60, 80), 64, 2)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("volume", "8 slices outlined"),
        ("structures", r"seg.nrrd [\d.]+ s, .* MiB; npz"),
        ("video", "6 frames outlined"),
    ],
)
def test_a_row_says_what_was_done(name: str, says: str) -> None:
    assert re.search(says, MEASURED[name][0](TINY))


def test_everything_on_a_slide_of_random_weights() -> None:
    pytest.importorskip("transformers")
    assert re.match(r"\d+ outlines", module.slide(TINY))


def test_a_row_has_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEASURED", {"structures": MEASURED["structures"]})
    said: list[str] = []
    (line,) = bench_scale(quick=True, tell=said.append)
    assert said == [line.what] and re.match(r"[\d.]+ s, peak \d+ MiB; seg.nrrd", line.value)


def test_what_is_left_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = bench_scale(budget=-1)
    assert line.value == "volume, structures, video, slide"


def test_the_peak_of_this_process_is_known() -> None:
    peak = module.peak_memory()
    resident = Path("/proc/self/statm")
    assert peak > (int(resident.read_text().split()[1]) * 4096 / 2**20 * 0.99 if resident.exists() else 10)
