"""The protocol ``interactive``: whatever a person may point with, on one structure, and what each way of it gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter

import numpy as np

from delineate.core.resolve import FramePrompts
from delineate.data.cases import LabeledScan, Target, Task, rng_of
from delineate.evaluation.click_protocols import AllClicks, middle_click, random_click
from delineate.evaluation.metrics import dice
from delineate.evaluation.protocol import Column, Curve, Outcome, Protocol, outcome_of
from delineate.evaluation.simulated_prompts import bounding_box
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import FramePredictor, Query
from delineate.training.prompt_simulation import wrong_box

CLICKS, GOAL = 10, 0.85  # at most; IoU that they are counted to
WRONG = (0.05, 0.1, 0.2)  # of a side's length: how far each side of a box is off, in or out
DRAWN = 2  # boxes of each kind


def _wrong(share: float) -> str:
    return f"box{100 * share:.0f}"


@dataclass(frozen=True)
class Interactive:
    """The exact box, boxes whose sides are all off by just so much, one click, and ten clicks on errors.

    One encoding of a frame for all of it. Columns of clicks are as in ``click_protocols``, with at most ten.
    """

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        encode = lru_cache(maxsize=1)(lambda frame: predictor.encode(case.scan.frame(frame)))
        for target in sorted(targets, key=lambda t: t.frame):
            truth, rng = case.truth(target.frame, target), rng_of(seed, case.case.id, target.label)
            start = perf_counter()
            features = encode(target.frame)
            drawn = [wrong_box(rng, truth, share).tolist() for share in WRONG for _ in range(DRAWN)]
            boxes = [bounding_box(truth), *((x0, y0, x1, y1) for x0, y0, x1, y1 in drawn)]
            clicks = [
                clicker(truth, np.zeros_like(truth), np.zeros_like(truth), rng)
                for clicker in (middle_click, random_click)
            ]
            prompts = [FramePrompts(box=box) for box in boxes]
            prompts += [FramePrompts(np.array([[one.x, one.y]], float), np.array([True])) for one in clicks if one]
            answers = decoded(predictor, features, [Query(one) for one in prompts], truth.shape)
            scores = [dice(truth, one.mask) for one in answers]
            wrong = np.reshape(scores[1 : len(boxes)], (len(WRONG), DRAWN)).mean(axis=1)
            values = {"box": scores[0], **dict(zip(map(_wrong, WRONG), wrong.tolist(), strict=True))}
            values |= dict(zip(("middle", "anywhere"), scores[len(boxes) :], strict=True))
            reached, _ = AllClicks(middle_click, CLICKS).reached(truth, predictor, features, rng)
            reached += reached[-1:] * (CLICKS - len(reached))
            count = next((n for n, value in enumerate(reached, 1) if value >= GOAL), None)
            values |= {"noc85": float(CLICKS if count is None else count), "never85": float(count is None)}
            values |= {f"iou@{n}": value for n, value in enumerate(reached, 1)}
            yield outcome_of(target, values, perf_counter() - start, target.frame, answers[0].mask)


DICE = (
    ("box", "exact box"),
    *((_wrong(share), f"{100 * share:.0f} % off") for share in WRONG),
    ("middle", "one click, middle"),
    ("anywhere", "anywhere"),
)
COLUMNS = (
    *(Column(key, title) for key, title in DICE),
    Column("noc85", "NoC@85", low=True, digits=1, worst=CLICKS),
    Column("never85", "never 85 %", low=True, worst=1),
    *(Column(f"iou@{n}", f"IoU@{n}", at=float(n), listed=False) for n in range(1, CLICKS + 1)),
)
PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        "interactive",
        "Dice from an exact box, from boxes whose sides are all off by just 5, 10 and 20 %, and from one click; clicks "
        f"to an IoU of {GOAL}, {CLICKS} at most, each in the middle of the largest error.",
        (Task.IMAGE, Task.VOLUME),
        COLUMNS,
        False,
        Interactive(),
        Curve("IoU after each click", "clicks", "IoU"),
    ),
)
