"""How much a second model's agreement says of the first one's outline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from time import perf_counter

import numpy as np

from delineate.core.errors import PromptError
from delineate.core.prompts import Box
from delineate.core.resolve import FramePrompts
from delineate.data.cases import LabeledScan, Target, Task, rng_of
from delineate.evaluation.metrics import Metric, dice, iou
from delineate.evaluation.picture_protocols import SAID
from delineate.evaluation.protocol import Column, Outcome, Protocol, outcome_of
from delineate.evaluation.simulated_prompts import drawn_box, next_click
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import FramePredictor, Query
from delineate.predictors.second_opinion import OpinionPair, second_opinion
from delineate.session import Session

AGREEMENT = "agreement"
FOLLOWED = 4  # frames a structure was followed to that are asked about, at most, spread evenly
MEAN_IOU = "iou"
KINDS = ("box", "outline", "click")  # both models the box; the second the outline's box; the same after a click


def opinions(case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int) -> Iterator[Outcome]:
    """One box, and one click, answered by the first model of a pair, and what the second makes of each outline.

    Raises PromptError for a predictor that is no pair: ``quill+lite_medsam``.
    """
    pair = _pair(predictor)
    encode = lru_cache(maxsize=1)(lambda frame: predictor.encode(case.scan.frame(frame)))
    for target in sorted(targets, key=lambda t: t.frame):
        truth = case.truth(target.frame, target)
        box = drawn_box(truth, rng_of(seed, case.case.id, target.label))
        click = next_click(truth, np.zeros_like(truth), np.zeros_like(truth))
        assert click is not None
        clicked = FramePrompts(np.array([[click.x, click.y]], float), np.array([True]))
        start = perf_counter()
        features = encode(target.frame)
        (boxed,) = decoded(predictor, features, [Query(FramePrompts(box=box))], truth.shape)
        (pointed,) = decoded(predictor, features, [Query(clicked)], truth.shape)
        values: dict[str, float] = {Metric.DICE: dice(truth, boxed.mask)}
        for kind, answer in zip(KINDS, (boxed, boxed, pointed), strict=True):
            empty = not answer.mask.any()
            given = box if kind == "box" else None
            values[f"{SAID}@{kind}"] = answer.score
            values[f"{Metric.IOU}@{kind}"] = iou(truth, answer.mask)
            values[f"{AGREEMENT}@{kind}"] = 0.0 if empty else pair.opinion(features, answer.mask, given).agreement
        yield outcome_of(target, values, perf_counter() - start, target.frame, boxed.mask)


def followed_opinions(
    case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
) -> Iterator[Outcome]:
    """One box, followed by the first model through the scan; what the second makes of some frames it was followed to.

    Raises PromptError for a predictor that is no pair.
    """
    pair = _pair(predictor)
    for target in targets:
        start = perf_counter()
        box = drawn_box(case.truth(target.frame, target), rng_of(seed, case.case.id, target.label))
        session = Session(case.scan, pair.first)
        name = session.add_object(str(target.label))
        session.prompt(Box(*box, frame=target.frame), name)
        session.propagate()
        found = session.segmentation
        there = [frame for frame in case.frames if frame != target.frame and found.mask(name, frame).any()]
        chosen = [there[n] for n in np.unique(np.linspace(0, len(there) - 1, FOLLOWED).astype(int))] if there else []
        values = dict.fromkeys((column.key for column in _FOLLOWED), float("nan"))
        for n, frame in enumerate(chosen):
            mask = found.mask(name, frame)
            opinion = second_opinion(pair.second, pair.second.encode(case.scan.frame(frame)), mask)
            values[f"{SAID}@{n}"] = found[name].scores.get(frame, 0.0)
            values[f"{Metric.IOU}@{n}"] = iou(case.truth(frame, target), mask)
            values[f"{AGREEMENT}@{n}"] = opinion.agreement
        reached = [values[f"{Metric.IOU}@{n}"] for n in range(len(chosen))]
        values[MEAN_IOU] = float(np.mean(reached)) if reached else 0.0
        shown = chosen[int(np.argmin(reached))] if reached else target.frame
        yield outcome_of(target, values, perf_counter() - start, shown, found.mask(name, shown))


def _pair(predictor: FramePredictor) -> OpinionPair:
    if isinstance(predictor, OpinionPair):
        return predictor
    raise PromptError(
        "E-EVAL-SCOPE",
        f"{predictor.record.name} is one model, and a second opinion takes two.",
        "Name both: --predictors quill+lite_medsam",
    )


_FOLLOWED = (
    Column(MEAN_IOU, "IoU, first model, followed frames"),
    *(
        Column(f"{key}@{n}", f"{key}, frame {n}", listed=False)
        for n in range(FOLLOWED)
        for key in (SAID, Metric.IOU, AGREEMENT)
    ),
)
PROTOCOLS = (
    Protocol(
        "second-opinion-followed",
        f"One box, followed through a scan by the first of two models; the second is asked about {FOLLOWED} frames.",
        (Task.VOLUME, Task.VIDEO),
        _FOLLOWED,
        False,
        followed_opinions,
    ),
    Protocol(
        "second-opinion",
        "One box, and one click, answered by the first of two models; the second is asked about each outline.",
        (Task.IMAGE, Task.VOLUME),
        (
            Column(Metric.DICE, "Dice, first model"),
            *(Column(f"{key}@{kind}", f"{key}, {kind}") for kind in KINDS for key in (SAID, Metric.IOU, AGREEMENT)),
        ),
        False,
        opinions,
    ),
)
