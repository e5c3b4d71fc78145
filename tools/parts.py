"""What each paper's part gains at small size: ``python tools/parts.py``; the tables go into docs/reference/systems.md.

Every row is the same network trained the same way with a part and without it: the same steps, batches and seeds, openly
licensed scans marked ``train``, and measured on scans it never saw. A run that was stopped goes on, one that is done is
not done again (``runs/parts``). Names as arguments run only those. An hour of one core.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import numpy as np

from part_runs import COMPARISONS, Comparison
from tables import ROOT, write

OUTPUT = ROOT / "runs" / "parts"
PAGE = ROOT / "docs" / "reference" / "systems.md"


def file_of(comparison: Comparison, arm: str, seed: int) -> Path:
    """Where a run writes what it found."""
    return OUTPUT / comparison.name / arm.replace(" ", "_") / str(seed) / "row.json"


def run(comparison: Comparison, arm: str, seed: int) -> None:
    """One run, where it is not done yet."""
    file = file_of(comparison, arm, seed)
    if file.is_file():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    began = process_time()
    found = dict(comparison.arms[arm](seed, file.parent)) | {"cpu_seconds": process_time() - began}
    file.write_text(json.dumps(found))
    print(comparison.name, arm, seed, json.dumps(found), flush=True)


def table(comparison: Comparison) -> str:
    """A row an arm, the mean over seeds and half the range; then what each part gains, seed by seed.

    Of a comparison that is not done the seeds that all of its arms have.
    """
    files = {arm: [file_of(comparison, arm, seed) for seed in comparison.seeds] for arm in comparison.arms}
    done = [n for n in range(len(comparison.seeds)) if all(of_arm[n].is_file() for of_arm in files.values())]
    rows = {arm: [json.loads(of_arm[n].read_text()) for n in done] for arm, of_arm in files.items()}
    lines = [
        f"| {comparison.title} | seeds | " + " | ".join(comparison.columns) + " |",
        "|---|---:|" + "---:|" * len(comparison.columns),
    ]
    if not done:
        return "\n".join(lines)
    whole = next(iter(rows))
    for arm, found in rows.items():
        lines.append(f"| {arm} | {len(done)} | {_cells([[one[c] for one in found] for c in comparison.columns])} |")
    for other in [arm for arm in rows if arm != whole]:
        gains = [[a[c] - b[c] for a, b in zip(rows[whole], rows[other], strict=True)] for c in comparison.columns]
        lines.append(f"| {whole}, minus {other} | | {_cells(gains, '+')} |")
    return "\n".join(lines)


def _cells(columns: Sequence[Sequence[float]], sign: str = "") -> str:
    return " | ".join(
        f"{np.mean(one):{sign}.3f}" + (f" ± {np.ptp(one) / 2:.3f}" if len(one) > 1 else "") for one in columns
    )


def main(wanted: Sequence[str]) -> None:
    chosen = [one for name, one in COMPARISONS.items() if not wanted or name in wanted]
    for n in range(max(len(one.seeds) for one in chosen)):  # a first seed of everything, then the second
        for one in [one for one in chosen if n < len(one.seeds)]:
            for arm in one.arms:
                run(one, arm, one.seeds[n])
            write(PAGE, f"parts-{one.name}", table(one))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
