"""How right the confidence of a followed outline is, and the map that makes it so: ``python tools/followed.py``.

Structures of labeled volumes and clips are prompted on one frame (a box whose sides are off by up to 5 % or 20 %, or
the true outline) and followed both ways. Signs of every outline that is found, and the IoU it reaches, are kept in
``runs/followed.npz``; ``--fit`` goes on from that file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import astuple, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from delineate.core.resolve import FramePrompts
from delineate.data.cases import Case, LabeledScan, Target, Task, load_cases, rng_of
from delineate.evaluation.calibration import Calibration
from delineate.evaluation.chart import chart
from delineate.evaluation.metrics import iou
from delineate.evaluation.simulated_prompts import drawn_box
from delineate.predictors.frame_predictor import Query
from delineate.quill.predictor import QuillPredictor
from delineate.tracking.propagate import Anchor, propagate
from delineate.tracking.trust import FILE, NAMES, Signs, columns, expected
from tables import DATA, ROOT, write

FOUND = ROOT / "runs" / "followed.npz"
CASES, STRUCTURES, REACH = 2, 2, 20  # of a data set, of a case, frames each way
BOXES = {"box": 0.05, "loose box": 0.2}
SIGNS = tuple(field.name for field in fields(Signs))
FAR = (1, 3, 6, 11, 21)
RIDGE = 1e-3
NATURAL = "natural_judo_davis"  # nothing medical: left out
Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


def chosen() -> Iterator[Case]:
    """A few cases of every data set that no model learned from."""
    taken: dict[str, int] = {}
    for case in load_cases(DATA, (Task.VOLUME, Task.VIDEO)):
        if case.dataset == NATURAL:
            continue
        taken[case.dataset] = taken.get(case.dataset, 0) + 1
        if taken[case.dataset] <= (7 if case.dataset == "simulated_motion" else CASES):
            yield case


def started(
    opened: LabeledScan, target: Target, predictor: QuillPredictor, first: bool
) -> Iterator[tuple[str, Mask, float]]:
    """Outlines to follow a structure from: how it was prompted, the outline, and its confidence."""
    truth = opened.truth(target.frame, target)
    if first:
        yield "drawn", truth, 1.0
    features = predictor.encode(opened.scan.frame(target.frame))
    for name, error in BOXES.items():
        box = drawn_box(truth, rng_of(0, opened.case.id, target.label, name), error)
        (answer,) = predictor.decode(features, [Query(FramePrompts(box=box))])
        if answer.mask.any():
            yield name, answer.mask, answer.score


def followed(case: Case, predictor: QuillPredictor) -> Iterator[tuple[str, str, tuple[float, ...], float, float]]:
    """Data set, prompt, signs, the confidence said, the IoU reached: of every outline that is found."""
    opened = case.open()
    targets = {str(target.label): target for target in opened.targets(STRUCTURES, 0)}
    anchors: list[Anchor] = []
    begun: dict[str, float] = {}
    for label, target in targets.items():
        for how, mask, score in started(opened, target, predictor, not anchors):
            name, at = f"{label}/{how}", target.frame
            anchors.append(Anchor(name, at, mask, max(0, at - REACH), min(len(opened.scan), at + REACH + 1)))
            begun[name] = score
    known = set(opened.frames)
    for visited in propagate(opened.scan, predictor, anchors):
        for one in visited.followed:
            signs = one.step.signs
            if signs is None or visited.frame not in known:
                continue
            label, _, how = one.name.partition("/")
            values = dict(zip(SIGNS, astuple(signs), strict=True)) | {"begun": begun[one.name]}
            reached = iou(opened.truth(visited.frame, targets[label]), one.step.mask)
            yield case.dataset, how, tuple(values[name] for name in SIGNS), one.step.confidence, reached


def measure() -> None:
    rows = []
    predictor = QuillPredictor()
    for case in chosen():
        new = list(followed(case, predictor))
        rows += [(f"{case.dataset}", case.id, case.task.value, *row[1:]) for row in new]
        print(case.id, len(new), flush=True)
    FOUND.parent.mkdir(exist_ok=True)
    names, ids, tasks, hows, signs, said, reached = zip(*rows, strict=True)
    np.savez(FOUND, dataset=names, case=ids, task=tasks, how=hows, signs=signs, said=said, reached=reached)


def fitted(signs: Numbers, reached: Numbers, weights: Numbers) -> Numbers:
    """The logistic curve from signs to the IoU: least cross-entropy; no sign of drift raises it, no score lowers it."""
    x = columns(signs)

    def loss(w: Numbers) -> tuple[float, Numbers]:
        z = x @ w
        grad = 1 / (1 + np.exp(-z)) - reached
        entropy = np.logaddexp(0, z) - reached * z
        return float((weights * entropy).sum() + RIDGE * (w[1:] ** 2).sum()), x.T @ (weights * grad) + np.r_[
            0, 2 * RIDGE * w[1:]
        ]

    bounds = [(None, None), *[(0, None)] * 2, *[(None, 0)] * (len(NAMES) - 3)]
    return np.asarray(minimize(loss, np.zeros(len(NAMES)), jac=True, bounds=bounds, method="L-BFGS-B").x)


def even(datasets: NDArray[np.str_]) -> Numbers:
    """Weights by which every data set counts the same."""
    names, which, counts = np.unique(datasets, return_inverse=True, return_counts=True)
    return 1 / counts[which] / len(names)


def fit() -> None:
    """Weights into the package; table and curve, with every data set left out in turn, into the page on quality."""
    found = np.load(FOUND)
    medical = found["dataset"] != NATURAL
    sets, signs, said, reached = (found[name][medical] for name in ("dataset", "signs", "said", "reached"))
    new = np.empty_like(said)
    for name in np.unique(sets):
        own = sets == name
        new[own] = expected(signs[own], fitted(signs[~own], reached[~own], even(sets[~own])))
    weights = fitted(signs, reached, even(sets))
    kept = {name: round(float(value), 4) for name, value in zip(NAMES, weights, strict=True)}
    FILE.write_text(json.dumps({"weights": kept}, indent=1) + "\n")
    print(kept)
    away = signs[:, SIGNS.index("distance")]
    page = ROOT / "docs" / "reference" / "quality.md"
    write(page, "followed", table(sets, away, said, new, reached))
    lines = {
        "reached": by_distance(away, reached),
        "said, as it is now": by_distance(away, new),
        "said, the tracker's own": by_distance(away, said),
    }
    picture = chart(lines, "frames from the prompted one", "IoU", float(away.max()))
    picture = picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    (page.parent / "followed.svg").write_text(f"{picture}\n")


def table(sets: NDArray[np.str_], away: Numbers, said: Numbers, new: Numbers, reached: Numbers) -> str:
    """Means by data set and by distance, before and after."""
    rows = [(str(name), sets == name) for name in np.unique(sets)]
    rows += [(f"{low} to {high - 1} frames away", (away >= low) & (away < high)) for low, high in pairwise(FAR)]
    rows += [("all", np.ones(len(said), bool))]
    head = "| followed outlines | n | IoU reached | said before | now | error before | now | distance before | now |"
    lines = [head, "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for name, own in rows:
        if not own.any():
            continue
        one, other = Calibration.of(said[own], reached[own]), Calibration.of(new[own], reached[own])
        lines.append(
            f"| {name} | {one.count} | {one.reached:.3f} | {one.said:.3f} | {other.said:.3f} | {one.error:.3f} | "
            f"{other.error:.3f} | {one.apart:.3f} | {other.apart:.3f} |"
        )
    lines.append("")
    for name, values in (("before", said), ("now", new)):
        sure = reached[values > 0.9]
        lines.append(f"Said above 0.9 {name}: {len(sure)}, of which {int((sure < 0.7).sum())} reach less than 0.7.")
    both = [Calibration.of(v, reached).correlation for v in (said, new)]
    lines.append(f"Correlation with the IoU reached: {both[0]:.2f} before, {both[1]:.2f} now.")
    return "\n".join(lines)


def by_distance(away: Numbers, values: Numbers) -> list[tuple[float, float]]:
    """Mean by frames from the prompted one."""
    return [
        (float(away[own].mean()), float(values[own].mean()))
        for low, high in pairwise((1, 2, 3, 4, 6, 8, 11, 15, 21))
        if (own := (away >= low) & (away < high)).any()
    ]


if __name__ == "__main__":
    if "--fit" not in sys.argv:
        measure()
    fit()
