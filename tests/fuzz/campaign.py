"""Inputs one after the other in a process of their own, each with a limit of time and memory, and what came of them.

A run is right when it ends in a result, or in a DelineateError whose text a person can read, within SECONDS of
computing and with no more memory than ``memory_allowed``.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from delineate.core.errors import DelineateError
from delineate.core.terminal_text import is_active
from fuzz.mutations import mutated, written_in
from fuzz.seeds import Seed
from fuzz.targets import TARGETS, Target

SECONDS = 10  # of computing, for one input
PATIENCE = 60  # seconds by the clock: the machine may be busy
LEAST_MEMORY = 256 << 20  # bytes beyond what the program itself takes, whatever the size of the file
RATIO = 4 * 1032  # bytes a byte of the file may become: the best deflate does, as numbers of four bytes
MOST_MEMORY = 1536 << 20
ADDRESSES = 12 << 30  # where the system itself refuses
LONGEST = 1000  # characters of a text for a person


def memory_allowed(size: int) -> int:
    """Bytes that reading files of ``size`` bytes may take."""
    return min(LEAST_MEMORY + RATIO * size, MOST_MEMORY)


class Outcome(StrEnum):
    RESULT = "result"
    REFUSED = "refused"
    TRACEBACK = "traceback"
    UNREADABLE = "unreadable"
    SLOW = "slow"
    MEMORY = "memory"
    DIED = "died"


RIGHT = (Outcome.RESULT, Outcome.REFUSED)


@dataclass(frozen=True)
class Finding:
    """What came of one input; ``place``: where in the package it went wrong, or the code of the refusal."""

    target: str
    number: int
    outcome: Outcome
    place: str = ""
    detail: str = ""


@dataclass
class Figures:
    """Of a campaign."""

    counts: dict[str, Counter[Outcome]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: dict[tuple[str, Outcome, str], list[Finding]] = field(default_factory=lambda: defaultdict(list))
    refusals: Counter[str] = field(default_factory=Counter)

    def add(self, finding: Finding) -> None:
        self.counts[finding.target][finding.outcome] += 1
        if finding.outcome is Outcome.REFUSED:
            self.refusals[finding.place] += 1
        elif finding.outcome not in RIGHT:
            self.wrong[finding.target, finding.outcome, finding.place].append(finding)

    def __str__(self) -> str:
        lines = [f"{'target':14}" + "".join(f"{outcome:>11}" for outcome in Outcome)]
        whole: Counter[Outcome] = Counter()
        for target, counts in self.counts.items():
            lines.append(f"{target:14}" + "".join(f"{counts[outcome]:>11}" for outcome in Outcome))
            whole += counts
        lines.append(f"{'all':14}" + "".join(f"{whole[outcome]:>11}" for outcome in Outcome))
        for (target, outcome, place), findings in sorted(self.wrong.items(), key=lambda item: -len(item[1])):
            numbers = ", ".join(str(one.number) for one in findings[:3])
            lines.append(f"{len(findings):6} x {target} {outcome} at {place}: {findings[0].detail} (inputs {numbers})")
        return "\n".join(lines)


def run(targets: Iterable[str], seed: int, numbers: Iterable[int], until: float = float("inf")) -> Iterator[Finding]:
    """Every input of every target, in rounds; ``until``: a time of ``time.monotonic``, at which it ends."""
    names = list(targets)
    worker: _Worker | None = None
    try:
        for number in numbers:
            for name in names:
                if time.monotonic() > until:
                    return
                worker = worker or _Worker(names, seed)
                finding = worker.ask(name, number)
                yield finding
                if finding.outcome in (Outcome.SLOW, Outcome.DIED, Outcome.MEMORY):
                    worker.stop()
                    worker = None
    finally:
        if worker is not None:
            worker.stop()


class _Worker:
    """The process that reads, and the way to it."""

    def __init__(self, names: list[str], seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, names, seed), daemon=True)
        self.process.start()
        theirs.close()
        told = self.pipe.recv()
        if told != "ready":
            raise RuntimeError(told)

    def ask(self, name: str, number: int) -> Finding:
        self.pipe.send((name, number))
        if not self.pipe.poll(PATIENCE):
            return Finding(name, number, Outcome.SLOW, "no end", f"after {PATIENCE} s")
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(5)
            return Finding(name, number, Outcome.DIED, "native code", f"exit code {self.process.exitcode}")

    def stop(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _serve(pipe: Connection, names: list[str], seed: int) -> None:
    """In the worker: valid files are read once, so that everything is loaded; then inputs as they are asked for."""
    warnings.simplefilter("ignore")
    _quiet()
    try:
        chosen = {target.name: (target, list(target.seeds())) for target in TARGETS if target.name in names}
        for target, seeds in chosen.values():
            for one in seeds:
                finding = judged(target, one, 0, Random(0))
                if finding.outcome not in RIGHT:
                    raise AssertionError(f"{one.name} is no valid input: {finding}")
    except BaseException:
        pipe.send(traceback.format_exc())
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            name, number = pipe.recv()
            target, seeds = chosen[name]
            pipe.send(judged(target, *input_of(target, seeds, seed, number)))


def _quiet() -> None:
    """Decoders write to the error output of the process."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123


def input_of(target: Target, seeds: list[Seed], seed: int, number: int) -> tuple[Seed, int, Random]:
    """The input of that number: a seed with changes, and the choices of its run."""
    random = Random(f"{seed} {target.name} {number}")
    chosen = random.choice(seeds)
    files = mutated(chosen, random)
    return Seed(chosen.name, files, chosen.entry), number, random


def judged(target: Target, one: Seed, number: int, random: Random) -> Finding:
    """Read files in a folder of their own, and say what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        inside = folder / "input"
        inside.mkdir()
        written_in(inside, one.files)
        before, memory = time.process_time(), _memory()
        outcome, place, detail = _outcome(target, inside / one.entry, random)
        took, grown = time.process_time() - before, _memory() - memory
        size = sum(map(len, one.files.values()))
        detail = f"{one.name}: {detail}"
        if took > SECONDS:
            return Finding(target.name, number, Outcome.SLOW, place, f"{detail} took {took:.0f} s")
        if grown > memory_allowed(size) and number:
            return Finding(target.name, number, Outcome.MEMORY, place, f"{detail} took {grown >> 20} MiB")
        return Finding(target.name, number, outcome, place, detail)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _outcome(target: Target, path: Path, random: Random) -> tuple[Outcome, str, str]:
    try:
        target.run(path, random)
    except DelineateError as error:
        told = f"{error.message}\n{error.hint}"
        odd = [c for c in told if is_active(c) and c != "\n"]
        if odd or len(told) > LONGEST + len(str(path)):
            return Outcome.UNREADABLE, error.code, f"{len(told)} characters, {len(odd)} that act: {told[:60]!r}"
        return Outcome.REFUSED, error.code, told[:100]
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if f"{os.sep}delineate{os.sep}" in frame.filename] or frames[-1:]
        place = f"{ours[-1].filename.rpartition(os.sep + 'delineate' + os.sep)[2]}:{ours[-1].lineno}"
        return Outcome.TRACEBACK, place, f"{type(error).__name__} {error}"[:160]
    return Outcome.RESULT, "", ""


def _memory() -> int:
    """The most memory this process ever had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
