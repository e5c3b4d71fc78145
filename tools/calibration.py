"""How right the predicted IoU is, on scans the model did not learn from: ``python tools/calibration.py``.

The table goes into the model card: structures by the IoU that was predicted for the outline shown, beside the IoU it
has; from one box (sides off by up to 5 %), and from one click in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from delineate.core.resolve import FramePrompts
from delineate.data.cases import rng_of
from delineate.evaluation.metrics import iou
from delineate.evaluation.runner import EvaluateOptions, chosen_cases, unlearned
from delineate.evaluation.simulated_prompts import drawn_box, next_click
from delineate.predictors.frame_predictor import Query
from delineate.quill.predictor import QuillPredictor
from tables import DATA, ROOT, write

STRUCTURES, CASES = 3, 12  # of a case, of a data set
EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
Mask = NDArray[np.bool_]


def boxed(truth: Mask, rng: np.random.Generator) -> FramePrompts:
    return FramePrompts(box=drawn_box(truth, rng))


def clicked(truth: Mask, rng: np.random.Generator) -> FramePrompts:
    click = next_click(truth, np.zeros_like(truth), np.zeros_like(truth))
    assert click is not None
    return FramePrompts(np.array([[click.x, click.y]], float), np.array([True]))


def measured(prompt: Callable[[Mask, np.random.Generator], FramePrompts]) -> Iterator[tuple[float, float]]:
    """Predicted and true IoU of one structure after the other."""
    options = EvaluateOptions(data=DATA, structures=STRUCTURES, limit=CASES)
    predictor = QuillPredictor()
    for case in unlearned(chosen_cases(options), options)[0]:
        opened = case.open()
        for target in opened.targets(STRUCTURES, options.seed):
            truth = opened.truth(target.frame, target)
            features = predictor.encode(opened.scan.frame(target.frame))
            query = Query(prompt(truth, rng_of(options.seed, case.id, target.label)))
            (answer,) = predictor.decode(features, [query])
            yield answer.score, iou(truth, answer.mask)


def rows(name: str, pairs: NDArray[np.float64]) -> Iterator[str]:
    """Lines of the table, the last one with the expected calibration error: mean gap, weighted by structures."""
    gaps = 0.0
    for low, high in pairwise(EDGES):
        own = pairs[(pairs[:, 0] >= low) & (pairs[:, 0] < high)]
        if len(own):
            predicted, true = own.mean(axis=0)
            gaps += len(own) * abs(predicted - true)
            yield f"| {name} | {low:.1f} to {high:.1f} | {len(own)} | {predicted:.3f} | {true:.3f} |"
    predicted, true = pairs.mean(axis=0)
    yield f"| {name} | all: error {gaps / len(pairs):.3f} | {len(pairs)} | {predicted:.3f} | {true:.3f} |"


def main() -> None:
    lines = ["| prompt | predicted IoU | n | predicted, mean | true, mean |", "|---|---|---:|---:|---:|"]
    for name, prompt in (("box", boxed), ("click", clicked)):
        lines += rows(name, np.array(list(measured(prompt))))
    print("\n".join(lines))
    write(ROOT / "src" / "delineate" / "quill" / "weights" / "QUILL.md", "calibration", "\n".join(lines))


if __name__ == "__main__":
    main()
