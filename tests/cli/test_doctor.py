"""What ``delineate doctor`` says of reporting, and ``--threads`` of what it does instead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import warm


def delineate(*arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "delineate", *(str(a) for a in arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "XDG_CACHE_HOME"} | variables
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, timeout=280, env=environment
    )  # fmt: skip


@pytest.mark.parametrize("variables", [{}, {"ORT_DISABLE_TELEMETRY": "0"}], ids=["unset", "switched-on"])
def test_what_is_off_is_named(tmp_path: Path, variables: dict[str, str]) -> None:
    card = json.loads(delineate("doctor", "--json", cwd=tmp_path, HOME=str(tmp_path), **variables).stdout)
    assert card["healthy"] and card["telemetry"].startswith("off in onnxruntime, ") and "traces" not in card
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cache", ["", "elsewhere"], ids=["default-cache", "own-cache"])
def test_what_was_left_before_is_named_and_stays(tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    marks = [
        tmp_path / (cache or ".cache") / "Microsoft/DeveloperTools/.onnxruntime/deviceid",
        tmp_path / "intel/stats",
    ]
    for mark in marks:
        mark.parent.mkdir(parents=True)
        mark.write_text("made up")
    variables = {"XDG_CACHE_HOME": str(tmp_path / cache)} if cache else {}
    said = warm.delineate("doctor", cwd=tmp_path, HOME=str(tmp_path), **variables).stdout
    assert str(marks[0].parent) in said and str(marks[1]) in said and "yours to delete" in said
    assert all(mark.read_text() == "made up" for mark in marks)


@pytest.mark.parametrize(("quiet", "is_told"), [((), True), (("-q",), False)], ids=["told", "quiet"])
def test_too_many_threads_are_told_in_one_line(tmp_path: Path, quiet: tuple[str, ...], is_told: bool) -> None:
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(tmp_path / "a.png")
    ran = warm.delineate("segment", "a.png", "--box", "9,9,40,40", "--threads", 999, *quiet, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    told = [line for line in ran.stderr.splitlines() if "999 threads were asked for" in line]
    assert [line.startswith("Note: ") for line in told] == [True] * is_told
    assert "DelineateWarning" not in ran.stderr
