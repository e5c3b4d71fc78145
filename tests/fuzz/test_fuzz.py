"""Mutated files of every kind end in a result, or in one sentence that a person can read; the watch itself works."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from delineate.core.errors import InputError
from fuzz import campaign
from fuzz.campaign import RIGHT, Figures, Outcome, input_of, judged, memory_allowed, run
from fuzz.seeds import Seed, single
from fuzz.targets import TARGETS, Target
from peak_memory import linux_only

SEED, ROUNDS = 2026, 60  # about a minute; more with long_run.py


@linux_only
def test_no_mutated_file_ends_in_a_traceback_a_hang_or_a_bomb() -> None:
    pytest.importorskip("torch")
    figures = Figures()
    for finding in run([target.name for target in TARGETS], SEED, range(1, ROUNDS + 1)):
        figures.add(finding)
    assert not figures.wrong, f"\n{figures}\nAgain: python tests/fuzz/long_run.py --seed {SEED} --again TARGET:INPUT"
    results = sum(counts[Outcome.RESULT] for counts in figures.counts.values())
    assert set(figures.counts) == {target.name for target in TARGETS} and results > ROUNDS  # not all are refused


def test_an_input_is_made_again_by_its_seed_and_number() -> None:
    for target in TARGETS[:2]:
        seeds = list(target.seeds())
        first, again, other = (input_of(target, seeds, seed, 7)[0] for seed in (1, 1, 2))
        assert first == again and first.files != other.files
        changed = sum(input_of(target, seeds, 1, n)[0].files not in [s.files for s in seeds] for n in range(40))
        assert changed > 30


def _fails(path: Path, random: Random) -> None:
    from delineate.core.rle import Rle

    Rle(1, 1, path.read_bytes())  # type: ignore[arg-type]


def _refuses(path: Path, random: Random) -> None:
    raise InputError("E-TEST", "It is refused.")


def _acts(path: Path, random: Random) -> None:
    error = InputError("E-TEST", "It is refused.")
    error.message = "\x1b[2J"  # past the guard that errors are made with
    raise error


def _takes_memory(path: Path, random: Random) -> None:
    bytearray(campaign._memory() + memory_allowed(1) + (64 << 20))  # the most that was ever taken, and more


def _takes_time(path: Path, random: Random) -> None:
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass


@linux_only
@pytest.mark.parametrize(
    ("work", "outcome", "place"),
    [
        pytest.param(lambda path, random: None, Outcome.RESULT, "", id="result"),
        pytest.param(_refuses, Outcome.REFUSED, "E-TEST", id="refused"),
        pytest.param(_fails, Outcome.TRACEBACK, "core/rle.py", id="traceback"),
        pytest.param(_acts, Outcome.UNREADABLE, "E-TEST", id="unreadable"),
        pytest.param(_takes_memory, Outcome.MEMORY, "", id="memory"),
        pytest.param(_takes_time, Outcome.SLOW, "", id="slow"),
    ],
)
def test_the_watch_notices(work: object, outcome: Outcome, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if outcome is Outcome.SLOW:
        monkeypatch.setattr(campaign, "SECONDS", 0.2)
    one = single("a", b"x")
    found = judged(Target("test", lambda: [one], work), one, 1, Random(0))  # type: ignore[arg-type]
    assert found.outcome is outcome and found.place.startswith(place)
    assert (found.outcome in RIGHT) == (outcome in (Outcome.RESULT, Outcome.REFUSED))


@linux_only
@pytest.mark.parametrize(
    ("size", "most"), [(0, 256 << 20), (100_000, (256 << 20) + 100_000 * 4128), (1 << 30, 1536 << 20)]
)
def test_memory_is_a_multiple_of_the_size(size: int, most: int) -> None:
    assert memory_allowed(size) == most


def test_a_seed_is_read_before_it_is_changed(tmp_path: Path) -> None:
    """Every seed is a valid input: the worker refuses to begin otherwise, here for those that need no torch."""
    for target in TARGETS:
        if target.torch:
            continue
        for one in target.seeds():
            assert isinstance(one, Seed) and judged(target, one, 1, Random(3)).outcome in RIGHT, one.name
