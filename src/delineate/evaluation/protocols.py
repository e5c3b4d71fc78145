"""Protocols: which scans are prompted how, and what is measured then.

Every protocol takes one opened case and a predictor, and gives one outcome a structure. The truth is never empty;
an outline that is empty is a miss and counts as such (see ``metrics``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.prompts import Box, Mask
from delineate.core.resolve import FramePrompts
from delineate.data.cases import LabeledScan, Target, Task, rng_of
from delineate.evaluation import (
    click_protocols,
    echo_protocol,
    interactive_protocol,
    laptop_script,
    one_shot_protocols,
    opinion_protocol,
    picture_protocols,
    scan_protocols,
    slice_protocols,
    video_protocols,
    volume_protocols,
)
from delineate.evaluation.metrics import Metric, frame_scores, iou
from delineate.evaluation.outline_metrics import BUILT_IN, outline_scores
from delineate.evaluation.protocol import Column, Outcome, Protocol, outcome_of
from delineate.evaluation.simulated_prompts import drawn_box, next_click
from delineate.predictors.answers import decoded
from delineate.predictors.capabilities import Scope
from delineate.predictors.frame_predictor import Features, FramePredictor, Query
from delineate.session import Session

__all__ = ["PROTOCOLS", "Column", "Outcome", "Protocol", "protocol_named"]

MOST_CLICKS = 20
CLICK_GOALS = (80, 85, 90)  # IoU, %
CLICK_COUNTS = (1, 3, 5, 10)


def box_2d(case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int) -> Iterator[Outcome]:
    """One box on an image, or on the slice that shows most of the structure."""
    encode = lru_cache(maxsize=1)(lambda frame: predictor.encode(case.scan.frame(frame)))
    for target in sorted(targets, key=lambda t: t.frame):
        truth = case.truth(target.frame, target)
        prompts = FramePrompts(box=drawn_box(truth, rng_of(seed, case.case.id, target.label)))
        start = perf_counter()
        mask = decoded(predictor, encode(target.frame), [Query(prompts)], truth.shape)[0].mask
        seconds = perf_counter() - start
        scores = outline_scores(truth, mask, case.scan.frame_spacing[::-1])
        yield outcome_of(target, scores, seconds, target.frame, mask)


def clicks_2d(case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int) -> Iterator[Outcome]:
    """Up to 20 clicks, each in the middle of the largest remaining error, until 90 % IoU; the IoU then stands."""
    encode = lru_cache(maxsize=1)(lambda frame: predictor.encode(case.scan.frame(frame)))
    for target in sorted(targets, key=lambda t: t.frame):
        truth = case.truth(target.frame, target)
        start = perf_counter()
        reached, mask = _click_on(truth, predictor, encode(target.frame))
        seconds = (perf_counter() - start) / len(reached)
        values = {f"noc{goal}": float(_clicks_to(reached, goal / 100)) for goal in CLICK_GOALS}
        values |= {f"iou@{n}": reached[min(n, len(reached)) - 1] for n in (*CLICK_COUNTS, MOST_CLICKS)}
        yield outcome_of(target, values, seconds, target.frame, mask)


def volume_box(case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int) -> Iterator[Outcome]:
    """One box on the slice that shows most of the structure, followed both ways through the whole volume."""
    session = Session(case.scan, predictor)
    start = perf_counter()
    for target in targets:
        truth = case.truth(target.frame, target)
        box = drawn_box(truth, rng_of(seed, case.case.id, target.label))
        session.prompt(Box(*box, frame=target.frame), _name(session, target))
    if any(one.area for one in session.segmentation.objects):
        session.propagate()
    seconds = (perf_counter() - start) / max(1, len(targets))
    for target in targets:
        found = session.segmentation
        scores = outline_scores(case.truth_volume(target), found.voxels(str(target.label)), case.scan.grid.spacing)
        masks = {frame: found.mask(str(target.label), frame) for frame in case.frames}
        worst = max(masks, key=lambda f: int((case.truth(f, target) ^ masks[f]).sum()))
        missed = not found[str(target.label)].area
        yield outcome_of(target, scores, seconds, worst, masks[worst], missed)


def video_mask(case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int) -> Iterator[Outcome]:
    """The true outline on the first frame, followed to the end; measured on every later labeled frame."""
    session = Session(case.scan, predictor)
    for target in targets:
        later = [frame for frame in case.frames if frame > target.frame]
        if not any(case.truth(frame, target).any() for frame in later):
            continue  # labeled once: nothing to follow it to
        name = _name(session, target)
        start = perf_counter()
        session.prompt(Mask.from_array(case.truth(target.frame, target), frame=target.frame), name)
        session.propagate([name], first=target.frame, stop=later[-1] + 1)
        seconds = (perf_counter() - start) / (later[-1] - target.frame)
        found = session.segmentation
        scores = {f: frame_scores(case.truth(f, target), found.mask(name, f)) for f in later}
        means = {str(m): float(np.mean([s[m] for s in scores.values()])) for m in (Metric.J_AND_F, Metric.J, Metric.F)}
        worst = min(scores, key=lambda f: scores[f][Metric.J_AND_F])
        missed = not any(found.mask(name, f).any() for f in later)
        yield outcome_of(target, means, seconds, worst, found.mask(name, worst), missed)


_OUTLINE = tuple(metric.column for metric in BUILT_IN)
_CLICKS = (
    *(Column(f"noc{goal}", f"NoC@{goal}", low=True, digits=2, worst=MOST_CLICKS) for goal in reversed(CLICK_GOALS)),
    *(Column(f"iou@{n}", f"IoU@{n}") for n in (*CLICK_COUNTS, MOST_CLICKS)),
)
_VIDEO = (Column(Metric.J_AND_F, "J&F"), Column(Metric.J, "J"), Column(Metric.F, "F"))

_OWN = (
    Protocol("box-2d", box_2d.__doc__ or "", (Task.IMAGE, Task.VOLUME), _OUTLINE, True, box_2d),
    Protocol("clicks-2d", clicks_2d.__doc__ or "", (Task.IMAGE, Task.VOLUME), _CLICKS, False, clicks_2d),
    Protocol(
        "volume-box",
        volume_box.__doc__ or "",
        (Task.VOLUME,),
        _OUTLINE,
        True,
        volume_box,
        scopes=(Scope.FRAME, Scope.VOLUME),
    ),
    Protocol("video-mask", video_mask.__doc__ or "", (Task.VIDEO,), _VIDEO, True, video_mask),
)
PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        *_OWN,
        *slice_protocols.PROTOCOLS,
        *volume_protocols.PROTOCOLS,
        *scan_protocols.PROTOCOLS,
        *one_shot_protocols.PROTOCOLS,
        *video_protocols.PROTOCOLS,
        *click_protocols.PROTOCOLS,
        *interactive_protocol.PROTOCOLS,
        *laptop_script.PROTOCOLS,
        *picture_protocols.PROTOCOLS,
        *opinion_protocol.PROTOCOLS,
        *echo_protocol.PROTOCOLS,
    )
}


def protocol_named(name: str) -> Protocol:
    """A protocol by name; raises InputError naming those there are."""
    found = PROTOCOLS.get(name) or video_protocols.scripted(name)
    if found is None:
        raise InputError(
            "E-EVAL-PROTOCOL",
            f'There is no protocol "{name}".',
            f"Choose one of {', '.join(families())}: docs/reference/evaluation.md",
        )
    return found


def families() -> list[str]:
    """The names of protocols, each with variants once: ``sam2-18-{first,middle,...}`` is ``sam2-18``."""
    names: list[str] = []
    for name in PROTOCOLS:
        if not any(name.startswith(f"{known}-") for known in PROTOCOLS if known != name):
            names.append(name)
    return names


def _click_on(
    truth: NDArray[np.bool_], predictor: FramePredictor, features: Features
) -> tuple[list[float], NDArray[np.bool_]]:
    """The IoU after each click, and the last outline."""
    mask, clicked = np.zeros_like(truth), np.zeros_like(truth)
    points: list[tuple[float, float]] = []
    labels: list[bool] = []
    reached: list[float] = []
    while len(reached) < MOST_CLICKS and (not reached or reached[-1] < CLICK_GOALS[-1] / 100):
        click = next_click(truth, mask, clicked)
        if click is None:
            break
        clicked[click.y, click.x] = True
        points.append((click.x, click.y))
        labels.append(click.positive)
        prompts = FramePrompts(np.array(points, dtype=float), np.array(labels))
        mask = decoded(predictor, features, [Query(prompts, mask if reached else None)], truth.shape)[0].mask
        reached.append(iou(truth, mask))
    return reached, mask


def _clicks_to(reached: Sequence[float], goal: float) -> int:
    """The number of the first click with that IoU; MOST_CLICKS if there is none."""
    return next((n for n, value in enumerate(reached, 1) if value >= goal), MOST_CLICKS)


def _name(session: Session, target: Target) -> str:
    """A new object of the session for a target; structures may share a name, so labels name them."""
    return session.add_object(str(target.label))
