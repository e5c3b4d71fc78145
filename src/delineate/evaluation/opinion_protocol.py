"""How much a second model's agreement says of the first one's outline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from time import perf_counter

import numpy as np

from delineate.core.errors import PromptError
from delineate.core.resolve import FramePrompts
from delineate.data.cases import LabeledScan, Target, Task, rng_of
from delineate.evaluation.metrics import Metric, dice, iou
from delineate.evaluation.picture_protocols import SAID
from delineate.evaluation.protocol import Column, Outcome, Protocol, outcome_of
from delineate.evaluation.simulated_prompts import drawn_box, next_click
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import FramePredictor, Query
from delineate.predictors.second_opinion import OpinionPair

AGREEMENT = "agreement"
KINDS = ("box", "outline", "click")  # both models the box; the second the outline's box; the same after a click


def opinions(case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int) -> Iterator[Outcome]:
    """One box, and one click, answered by the first model of a pair, and what the second makes of each outline.

    Raises PromptError for a predictor that is no pair: ``quill+lite_medsam``.
    """
    if not isinstance(predictor, OpinionPair):
        raise PromptError(
            "E-EVAL-SCOPE",
            f"{predictor.record.name} is one model, and a second opinion takes two.",
            "Name both: --predictors quill+lite_medsam",
        )
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
            values[f"{AGREEMENT}@{kind}"] = 0.0 if empty else predictor.opinion(features, answer.mask, given).agreement
        yield outcome_of(target, values, perf_counter() - start, target.frame, boxed.mask)


PROTOCOLS = (
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
