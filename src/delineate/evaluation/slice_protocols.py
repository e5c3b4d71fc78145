"""Protocols that ask on every image or slice alone: MedSAM's boxes, BioSAM 2's frames, SAM 2's images on 18 sets.

A slice is asked where the structure is on it. Each number is given twice where that differs: of the volume the
answers make, and as the mean over slices; papers seldom say which one they mean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind
from delineate.data.cases import LabeledScan, Target, Task, rng_of
from delineate.evaluation.frame_prompts import (
    MEDSAM_FIXED,
    MEDSAM_SHIFTED,
    MOST_PARTS,
    PointsAt,
    biosam_box,
    largest_box,
    middle_points,
    random_points,
    tight_box,
)
from delineate.evaluation.metrics import Metric
from delineate.evaluation.outline_metrics import OUTLINE_METRICS, added_columns, outline_scores
from delineate.evaluation.protocol import Column, Outcome, Protocol, outcome_of
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import FramePredictor, Query

SLICE = "_slice"
FIRST, BEST = "iou_first", "iou_best"
MEDSAM = (
    Column(Metric.DICE, "Dice"),
    Column(Metric.NSD, "NSD at 2"),
    Column(Metric.IOU, "IoU"),
    Column(f"{Metric.DICE}{SLICE}", "Dice a slice"),
    Column(f"{Metric.NSD}{SLICE}", "NSD a slice"),
)
EIGHTEEN = (Column(FIRST, "IoU, first outline"), Column(BEST, "IoU, most trusted"))


@dataclass(frozen=True)
class EverySlice:
    """Asks on every slice that shows the structure.

    point  how it is prompted there
    """

    point: PointsAt

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        found: dict[int, dict[int, Rle]] = defaultdict(dict)
        seconds: dict[int, float] = defaultdict(float)
        for frame in case.frames:
            shown = [(target, truth) for target in targets if (truth := case.truth(frame, target)).any()]
            if not shown:
                continue
            rngs = [rng_of(seed, case.case.id, target.label, frame) for target, _ in shown]
            queries = [Query(self.point(truth, rng)) for (_, truth), rng in zip(shown, rngs, strict=True)]
            start = perf_counter()
            seen = case.scan.frame(frame)
            answers = decoded(predictor, predictor.encode(seen), queries, seen.size)
            each = (perf_counter() - start) / len(shown)
            for (target, _), answer in zip(shown, answers, strict=True):
                found[target.label][frame] = Rle.encode(answer.mask)
                seconds[target.label] += each
        for target in targets:
            yield sliced_outcome(case, target, found[target.label], seconds[target.label])


@dataclass(frozen=True)
class FirstAndBest:
    """IoU of the first outline offered and of the one trusted most, mean over slices (SAM 2 on 18 sets, images)."""

    point: PointsAt

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        for target in targets:
            scores: dict[int, tuple[float, float]] = {}
            shown: dict[int, NDArray[np.bool_]] = {}
            start = perf_counter()
            for frame in case.frames:
                truth = case.truth(frame, target)
                if not truth.any():
                    continue
                prompts = self.point(truth, rng_of(seed, case.case.id, target.label, frame))
                seen = case.scan.frame(frame)
                answer = decoded(predictor, predictor.encode(seen), [Query(prompts)], seen.size)[0]
                trusted = answer.masks[int(np.argmax(answer.scores))]
                first = np.asarray(answer.masks[0])
                scores[frame] = _iou(truth, first), _iou(truth, np.asarray(trusted))
                shown[frame] = first
            seconds = (perf_counter() - start) / len(scores)
            worst = min(scores, key=lambda frame: scores[frame][0])
            means = {key: float(np.mean([s[n] for s in scores.values()])) for n, key in enumerate((FIRST, BEST))}
            missed = not any(mask.any() for mask in shown.values())
            yield outcome_of(target, means, seconds, worst, shown[worst], missed)


def assembled(scan: Scan, masks: dict[int, Rle]) -> NDArray[np.bool_]:
    """Outlines of slices as voxels (i, j, k) of a volume."""
    voxels = np.zeros(scan.grid.shape, dtype=bool)
    for frame, mask in masks.items():
        cut = tuple(frame if axis == scan.slice_axis else slice(None) for axis in range(3))
        voxels[cut] = mask.decode().T
    return voxels


def sliced_outcome(case: LabeledScan, target: Target, masks: dict[int, Rle], seconds: float) -> Outcome:
    """The outcome of a structure that was outlined slice by slice (``masks`` by frame), for the columns MEDSAM."""
    spacing = case.scan.frame_spacing[::-1]
    scores = {f: outline_scores(case.truth(f, target), mask.decode(), spacing) for f, mask in masks.items()}
    values = {f"{key}{SLICE}": _mean_of(scores.values(), key) for key in (Metric.DICE, Metric.NSD)}
    if case.scan.kind is ScanKind.VOLUME:
        truth = case.truth_volume(target)
        values |= outline_scores(truth, assembled(case.scan, masks), case.scan.grid.spacing)
    else:
        values |= {str(key): _mean_of(scores.values(), key) for key in OUTLINE_METRICS}
    values = {column.key: values[column.key] for column in (*MEDSAM, *added_columns())}
    worst = min(scores, key=lambda frame: scores[frame][Metric.DICE])
    missed = not any(mask.area for mask in masks.values())
    return outcome_of(target, values, seconds / len(masks), worst, masks[worst].decode(), missed)


def _mean_of(scores: Iterable[Mapping[str, float]], key: str) -> float:
    return float(np.mean([one[key] for one in scores]))


def _iou(truth: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    return int((truth & mask).sum()) / max(1, int((truth | mask).sum()))


_TASKS = (Task.IMAGE, Task.VOLUME)
_MEDSAM = "MedSAM (arXiv 2304.12306): one box on every slice that shows the structure"
_BIOSAM = "BioSAM 2 (arXiv 2408.03286), pipeline 1: every slice on its own"
_EIGHTEEN = "SAM 2 on 18 sets (arXiv 2408.00756), images: every slice on its own"
_NONE = "boxes of the truth, not moved"

PROTOCOLS: tuple[Protocol, ...] = (
    Protocol("medsam-box", f"{_MEDSAM}; {_NONE}.", _TASKS, MEDSAM, True, EverySlice(tight_box)),
    Protocol(
        "medsam-box-shift",
        f"{_MEDSAM}; each side moved outwards by up to 20 pixels of 1024, as in training.",
        _TASKS,
        MEDSAM,
        True,
        EverySlice(MEDSAM_SHIFTED),
    ),
    Protocol(
        "medsam-box-released",
        f"{_MEDSAM}; every side 20 pixels of 1024 outwards, as in the released comparison with SAM.",
        _TASKS,
        MEDSAM,
        True,
        EverySlice(MEDSAM_FIXED),
    ),
    Protocol(
        "biosam2-frames",
        f"{_BIOSAM}, a box whose width and height are off by a normal tenth (released code).",
        _TASKS,
        MEDSAM,
        True,
        EverySlice(biosam_box),
    ),
    Protocol(
        "biosam2-frames-click",
        f"{_BIOSAM}, one point drawn on the structure.",
        _TASKS,
        MEDSAM,
        False,
        EverySlice(partial(random_points, count=1)),
    ),
    Protocol(
        "biosam2-frames-clicks",
        f"{_BIOSAM}, three points drawn on the structure (paper).",
        _TASKS,
        MEDSAM,
        False,
        EverySlice(partial(random_points, count=3)),
    ),
    Protocol(
        "sam2-18-images-point",
        f"{_EIGHTEEN}, a point in the middle of the largest piece.",
        _TASKS,
        EIGHTEEN,
        False,
        FirstAndBest(middle_points),
    ),
    Protocol(
        "sam2-18-images-points",
        f"{_EIGHTEEN}, a point in each of the three largest pieces.",
        _TASKS,
        EIGHTEEN,
        False,
        FirstAndBest(partial(middle_points, parts=MOST_PARTS)),
    ),
    Protocol(
        "sam2-18-images-box",
        f"{_EIGHTEEN}, the box of the largest piece.",
        _TASKS,
        EIGHTEEN,
        True,
        FirstAndBest(largest_box),
    ),
)
