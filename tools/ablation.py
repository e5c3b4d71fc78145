"""What the choices behind Quill are worth: ``python tools/ablation.py``; the table goes into the model card.

The same short runs from random weights (the same steps, seeds and crops of 128 px), each time without one thing, on
real scans: the mean of the seeds, and how far they lie from it. They rank ideas in minutes: what is found need not hold
to the same degree for a run of hours. Names as arguments run only those. An hour on two cores.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from delineate.evaluation.runner import EvaluateOptions, evaluate
from delineate.quill.train.training import QuillTraining, train_quill
from tables import DATA, ROOT, write

STEPS, SIDE, SEEDS, RATE = 300, 128, (1, 2), 2e-3
FOCUS, LIKENESS, RELIEF = 3, 10, 11  # channels of the prompt maps
VARIANTS: dict[str, dict[str, Any]] = {
    "all": {},
    "without real scans and their textures": {"data": None},
    "without focus, likeness and relief": {"blind": (FOCUS, LIKENESS, RELIEF)},
    "without its own outlines in training": {"correct": 0.0},
}
MEASURES = (  # protocol, what is measured, its heading, cases of a data set, structures of a case
    ("box-2d", "dice", "box (Dice)", 4, 3),
    ("clicks-2d", "iou@1", "one click (IoU)", 2, 1),
    ("clicks-2d", "iou@5", "five clicks", 2, 1),
    ("volume-box", "dice", "through volumes (Dice)", 1, 1),
)


def trained(name: str, seed: int) -> Path:
    """The model of a variant, made where it is not there yet."""
    folder = ROOT / "runs" / "ablation" / name.replace(" ", "_").replace(",", "") / str(seed)
    model = folder / "quill.onnx"
    if not model.is_file():
        recipe: dict[str, Any] = {"data": DATA, "sides": ((1.0, SIDE),), "seed": seed, "rate": RATE, "steps": STEPS}
        train_quill(QuillTraining(folder, threads=1, **(recipe | VARIANTS[name])))
    return model


def measured(model: Path) -> list[float]:
    """Means over data sets."""
    means = list[float]()
    for protocol, measure, _, cases, structures in MEASURES:
        options = EvaluateOptions(data=DATA, protocol=protocol, predictors=(str(model),), limit=cases,
                                  structures=structures, output=model.parent / "evaluation")  # fmt: skip
        means.append(evaluate(options).summary(str(model)).means[measure])
    return means


def main(wanted: Sequence[str]) -> None:
    rows = ["| | " + " | ".join(m[2] for m in MEASURES) + " |", "|---|" + "---:|" * len(MEASURES)]
    for name in wanted or VARIANTS:
        found = np.array([measured(trained(name, seed)) for seed in SEEDS])
        cells = (f"{mean:.3f} ± {off:.3f}" for mean, off in zip(found.mean(0), np.ptp(found, axis=0) / 2, strict=True))
        rows.append(f"| {name} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    if not wanted:
        write(ROOT / "src" / "delineate" / "weights" / "QUILL.md", "ablation", "\n".join(rows))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
