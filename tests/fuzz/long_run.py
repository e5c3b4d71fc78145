"""Many mutated inputs, and what came of them: ``python tests/fuzz/long_run.py --inputs 100000 --seed 7``.

``--again volumes:123`` reads one input with its traceback, and keeps its files.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import delineate  # noqa: F401  (first: it silences libraries that report)
from fuzz.campaign import RIGHT, Figures, input_of, run
from fuzz.mutations import written_in
from fuzz.targets import TARGETS

NAMES = [target.name for target in TARGETS]
EVERY = 300  # seconds between two tables


def again(name: str, number: int, seed: int, folder: Path) -> None:
    """One input, with all that it says."""
    target = next(target for target in TARGETS if target.name == name)
    one, _, random = input_of(target, list(target.seeds()), seed, number)
    folder.mkdir(parents=True, exist_ok=True)
    written_in(folder, one.files)
    print(f"{one.name}, kept in {folder / one.entry}")
    target.run(folder / one.entry, random)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=NAMES, help="may be given several times")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end after so many")
    parser.add_argument("--again", help="TARGET:NUMBER")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-input"), help="folder for the files of --again")
    chosen = parser.parse_args()
    if chosen.again:
        name, _, number = chosen.again.partition(":")
        again(name, int(number), chosen.seed, chosen.keep)
        return 0
    names = chosen.target or NAMES
    figures, began = Figures(), time.monotonic()
    rounds = -(-chosen.inputs // len(names))
    until = began + 60 * chosen.minutes

    lock = threading.Lock()

    def part(worker: int) -> None:
        told = time.monotonic()
        for finding in run(names, chosen.seed, range(1 + worker, rounds + 1, chosen.workers), until):
            with lock:
                figures.add(finding)
            if finding.outcome not in RIGHT:
                where = f"{finding.target}:{finding.number} {finding.outcome} at {finding.place}"
                print(f"{where}: {finding.detail}", flush=True)
            if time.monotonic() - told > EVERY:
                told = time.monotonic()
                print(f"so far, round {finding.number} of {rounds}, after {told - began:.0f} s\n{figures}", flush=True)

    with ThreadPoolExecutor(chosen.workers) as pool:
        list(pool.map(part, range(chosen.workers)))
    print(figures)
    print(f"{time.monotonic() - began:.0f} s; refusals: {dict(figures.refusals.most_common())}")
    return int(any(outcome not in RIGHT for counts in figures.counts.values() for outcome in counts))


if __name__ == "__main__":
    sys.exit(main())
