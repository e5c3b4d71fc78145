"""Protocols for surgical video: first-frame prompts with re-prompts by a script, and robustness without training."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from delineate.core.propagation_options import Directions, PropagationOptions
from delineate.core.scan import ScanKind
from delineate.core.segmentation import Segmentation
from delineate.data.cases import LabeledScan, Target, Task, rng_of
from delineate.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupted_case
from delineate.evaluation.frame_prompts import PointsAt, as_prompts, tight_box, true_mask
from delineate.evaluation.metrics import Metric, boundary_f, dice, iou, per_frame_class_iou
from delineate.evaluation.protocol import Column, Curve, Outcome, Protocol, outcome_of
from delineate.predictors.frame_predictor import FramePredictor
from delineate.session import Session

FORWARDS = PropagationOptions(directions=Directions.FORWARD, reset=False)
CLEAN, MEAN, KEPT = "clean", "mean", "kept"
USUAL_SEVERITY = 3
CHALLENGE, EITHER, CLASS = "challenge_iou", "either_iou", "class_iou"
VOS = (
    Column(Metric.J_AND_F, "J&F"),
    Column(Metric.J, "J (IoU)"),
    Column(Metric.F, "F"),
    Column(Metric.DICE, "Dice"),
    Column(CLASS, "IoU a class"),
    Column(CHALLENGE, "challenge IoU", of_case=True),
    Column(EITHER, "IoU, false classes too", of_case=True),
)


@dataclass(frozen=True)
class PromptSchedule:
    """When a structure is prompted.

    first  how, where it is first labeled (a new tool is prompted when it enters)
    every  frames until it is prompted again, by its truth there; 0 never
    """

    first: PointsAt
    every: int = 0

    def frames(self, shown: Sequence[int]) -> list[int]:
        """The frames to point on, of those that show the structure."""
        chosen = [shown[0]]
        for frame in shown:
            if self.every and frame >= chosen[-1] + self.every:
                chosen.append(frame)
        return chosen


@dataclass(frozen=True)
class FollowedVideo:
    """Every structure of a video, followed forwards; measured on later labeled frames nobody pointed on.

    davis  the first and the last labeled frame never count (the evaluators of DAVIS and SA-V)
    """

    script: PromptSchedule
    davis: bool = False

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        pointed, measured = self._frames(case, targets)
        targets = [target for target in targets if measured.get(target.label)]
        begin = perf_counter()
        found = followed(case, targets, pointed, self.script.first, predictor, seed)
        seconds = (perf_counter() - begin) / max(1, len(targets))
        whole = _of_case(case, targets, measured, found)
        for target in targets:
            name = str(target.label)
            masks = {frame: found.mask(name, frame) for frame in measured[target.label]}
            scores = {frame: _scores(case.truth(frame, target), mask) for frame, mask in masks.items()}
            values = {key: float(np.mean([s[key] for s in scores.values()])) for key in next(iter(scores.values()))}
            there = [s[Metric.J] for f, s in scores.items() if masks[f].any() or case.truth(f, target).any()]
            values[CLASS] = float(np.mean(there)) if there else 1.0
            worst = min(scores, key=lambda frame: scores[frame][Metric.J_AND_F])
            missed = not any(mask.any() for mask in masks.values())
            ordered = {column.key: (values | whole)[column.key] for column in VOS}
            yield outcome_of(target, ordered, seconds, worst, masks[worst], missed)

    def _frames(
        self, case: LabeledScan, targets: Sequence[Target]
    ) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
        """For each structure the frames it is prompted on, and those it is measured on."""
        pointed, measured = {}, {}
        ends = {case.frames[0], case.frames[-1]} if self.davis else set()
        for target in targets:
            shown = [frame for frame in case.frames if case.truth(frame, target).any()]
            pointed[target.label] = self.script.frames(shown)
            later = [f for f in case.frames if f > shown[0] and f not in pointed[target.label] and f not in ends]
            if len(shown) > 1:
                measured[target.label] = later
        return pointed, measured


@dataclass(frozen=True)
class Robustness:
    """J (IoU) with the box of the clean truth, on spoilt frames: a picture alone, a video followed from its first box.

    trials  (column, corruption or None, severity)
    """

    trials: tuple[tuple[str, str | None, int], ...]
    summed: bool = True  # with the mean over corruptions and its share of the clean value

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        plan = FollowedVideo(PromptSchedule(tight_box))
        single = len(case.scan) == 1 or case.scan.kind is ScanKind.IMAGE
        pointed, measured = ({t.label: [t.frame] for t in targets},) * 2 if single else plan._frames(case, targets)
        targets = [target for target in targets if measured.get(target.label)]
        values: dict[int, dict[str, float]] = {target.label: {} for target in targets}
        begin = perf_counter()
        worst: dict[int, tuple[float, int, NDArray[np.bool_]]] = {}
        outlined = set[int]()
        for column, name, severity in self.trials:
            trial = case if name is None else corrupted_case(case, name, severity, seed)
            found = followed(trial, targets, pointed, tight_box, predictor, seed)
            for target in targets:
                masks = {f: found.mask(str(target.label), f) for f in measured[target.label]}
                each = {frame: iou(case.truth(frame, target), mask) for frame, mask in masks.items()}
                outlined |= {target.label} if any(mask.any() for mask in masks.values()) else set()
                values[target.label][column] = float(np.mean(list(each.values())))
                least = min(each, key=lambda frame: each[frame])
                if target.label not in worst or each[least] < worst[target.label][0]:
                    worst[target.label] = each[least], least, masks[least]
        seconds = (perf_counter() - begin) / max(1, len(targets) * len(self.trials))
        for target in targets:
            own = values[target.label]
            if self.summed:
                mean = float(np.mean([value for column, value in own.items() if column != CLEAN]))
                own = {MEAN: mean, KEPT: mean / own[CLEAN] if own[CLEAN] else 0.0} | own
            _, frame, mask = worst[target.label]
            yield outcome_of(target, own, seconds, frame, mask, target.label not in outlined)


def followed(
    case: LabeledScan,
    targets: Sequence[Target],
    pointed: Mapping[int, Sequence[int]],
    point: PointsAt,
    predictor: FramePredictor,
    seed: int,
) -> Segmentation:
    """Every structure prompted on its frames, then all of them followed forwards; outlines are named by label."""
    session = Session(case.scan, predictor)
    for target in targets:
        name = session.add_object(str(target.label))
        for frame in pointed[target.label]:
            rng = rng_of(seed, case.case.id, target.label, frame)
            session.prompt_all(as_prompts(point(case.truth(frame, target), rng), frame), name)
    names = [one.name for one in session.segmentation.objects if one.area]
    if names and len(case.scan) > 1:
        session.propagate(names, stop=case.frames[-1] + 1, following=FORWARDS)
    return session.segmentation


def scripted(name: str) -> Protocol | None:
    """``surgical-vos-every-30``, ``surgical-vos-box-every-10``: prompted again every so many frames."""
    match = re.fullmatch(r"surgical-vos(-box)?-every-([1-9]\d{0,5})", name)
    if match is None:
        return None
    point, words = (tight_box, "box") if match[1] else (true_mask, "outline")
    about = f"{_SURGICAL}: the true {words} where a structure is first labeled, and again every {match[2]} frames."
    return Protocol(name, about, (Task.VIDEO,), VOS, True, FollowedVideo(PromptSchedule(point, int(match[2]))))


def _scores(truth: NDArray[np.bool_], mask: NDArray[np.bool_]) -> dict[str, float]:
    region, boundary = iou(truth, mask), boundary_f(truth, mask)
    return {
        Metric.J: region,
        Metric.F: boundary,
        Metric.J_AND_F: (region + boundary) / 2,
        Metric.DICE: dice(truth, mask),
    }


def _of_case(
    case: LabeledScan, targets: Sequence[Target], measured: Mapping[int, Sequence[int]], found: Segmentation
) -> dict[str, float]:
    """The challenge's per-frame numbers of the whole video."""
    each = []
    for frame in sorted({frame for frames in measured.values() for frame in frames}):
        there = [target for target in targets if frame in measured[target.label]]
        truths = [case.truth(frame, target) for target in there]
        each.append(per_frame_class_iou(truths, [found.mask(str(target.label), frame) for target in there]))
    means = [[pair[n] for pair in each if np.isfinite(pair[n])] for n in (0, 1)]
    return {key: float(np.mean(v)) if v else float("nan") for key, v in zip((CHALLENGE, EITHER), means, strict=True)}


_SURGICAL = "Surgical video (Surgical SAM 2, arXiv 2408.07931)"
_ROBUST = "Zero-shot robustness on surgical frames (after arXiv 2408.01648 and 2408.04593)"
_SEEN = (Task.VIDEO, Task.IMAGE)


def _robust() -> Iterator[Protocol]:
    trials = ((CLEAN, None, 0), *((name, name, USUAL_SEVERITY) for name in CORRUPTIONS))
    columns = (
        Column(MEAN, "J, corrupted"),
        Column(KEPT, "share kept"),
        Column(CLEAN, "J, clean"),
        *(Column(name, name) for name in CORRUPTIONS),
    )
    about = f"{_ROBUST}: the true box, {len(CORRUPTIONS)} corruptions of severity {USUAL_SEVERITY}."
    yield Protocol("surgical-robust", about, _SEEN, columns, True, Robustness(trials))
    for name, corruption in CORRUPTIONS.items():
        keys = [f"severity_{n}" for n in SEVERITIES]
        steps = ((CLEAN, None, 0), *((key, name, n) for n, key in zip(SEVERITIES, keys, strict=True)))
        places = [Column(key, f"severity {n}", at=float(n)) for n, key in zip(SEVERITIES, keys, strict=True)]
        columns = (
            Column(MEAN, "J, corrupted"),
            Column(KEPT, "share kept"),
            Column(CLEAN, "J, clean", at=0.0),
            *places,
        )
        curve = Curve(f"J under {name}", "severity", "J")
        words = f"{_ROBUST}: the true box, {name} ({corruption.about}) of every severity."
        yield Protocol(f"surgical-robust-{name}", words, _SEEN, columns, True, Robustness(steps), curve)


_FIRST = "where a structure is first labeled, followed forwards"
PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        "surgical-vos",
        f"{_SURGICAL}: the true outline {_FIRST}.",
        (Task.VIDEO,),
        VOS,
        True,
        FollowedVideo(PromptSchedule(true_mask)),
    ),
    Protocol(
        "surgical-vos-box",
        f"{_SURGICAL}: the true box {_FIRST}.",
        (Task.VIDEO,),
        VOS,
        True,
        FollowedVideo(PromptSchedule(tight_box)),
    ),
    Protocol(
        "surgical-vos-released",
        f"{_SURGICAL}: the true outline {_FIRST}; the first and the last labeled frame never count (released code).",
        (Task.VIDEO,),
        VOS,
        True,
        FollowedVideo(PromptSchedule(true_mask), davis=True),
    ),
    *_robust(),
)
