"""How runs talk: progress in logs, frames to look at with their reasons."""

from __future__ import annotations

import pytest

from delineate.cli import console
from delineate.cli.console import progress_bar
from delineate.cli.segment_report import _doubts
from delineate.core.manifest import ObjectRecord


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds_each", "frames", "lines"),
    [
        pytest.param(0.1, 100, [], id="soon-done"),
        pytest.param(15, 6, ["2 of 6, about 60 s left", "4 of 6, about 30 s left"], id="slow"),
        pytest.param(60, 3, ["1 of 3, about 2 min left", "2 of 3, about 60 s left"], id="slower"),
        pytest.param(9000, 3, ["1 of 3, about 5.0 h left", "2 of 3, about 2.5 h left"], id="hours"),
    ],
)
def test_a_log_gets_a_line_now_and_then(
    seconds_each: float,
    frames: int,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    with progress_bar("Following the \x1b[2Jliver", quiet=False) as progress:
        assert progress is not None
        for n in range(1, frames + 1):
            clock.now += seconds_each
            progress(n, frames)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"Following the \\x1b[2Jliver: {line}" for line in lines]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("x", quiet=True) as progress:
        assert progress is None


@pytest.mark.parametrize(
    ("warnings", "words"),
    [
        ({}, ""),
        ({10: "area jumped", 9: "area jumped"}, "; look at 10 (area jumped; doubtful from 9 to 10)"),
        ({7: "area jumped", 2: "ended", 4: "area jumped"}, "; look at 7 (area jumped), 2 (ended), 4 (area jumped)"),
        (dict.fromkeys(range(0, 40, 2), "faint"), "; look at 0 (faint), 2 (faint), 4 (faint), 6 (faint), 8 (faint)"),
    ],
    ids=["none", "in-a-row", "the-worst-first", "many"],
)
def test_frames_to_look_at_have_their_reason(warnings: dict[int, str], words: str) -> None:
    record = ObjectRecord(name="a", label=1, frames=40, pixels=9, warnings=warnings)
    assert _doubts(record) == words
