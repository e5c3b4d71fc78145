"""Interactive protocols: how many clicks a structure takes, and what each click gains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from delineate.core.resolve import FramePrompts
from delineate.data.cases import LabeledScan, Target, Task, rng_of
from delineate.evaluation.metrics import iou
from delineate.evaluation.protocol import Column, Curve, Outcome, Protocol, outcome_of
from delineate.evaluation.simulated_prompts import Click, next_click
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import Features, FramePredictor, Query

Mask = NDArray[np.bool_]
Clicker = Callable[[Mask, Mask, Mask, np.random.Generator], Click | None]  # truth, outline so far, clicked, random

MOST = 20
GOALS = (90, 85, 80)  # IoU, %
TABLED = (1, 3, 5, 10, 20)
AREA = "area"
COLUMNS = (
    *(Column(f"noc{goal}", f"NoC@{goal}", low=True, digits=2, worst=MOST) for goal in GOALS),
    *(Column(f"never{goal}", f"never {goal} %", low=True, worst=1) for goal in GOALS[:2]),
    *(Column(f"iou@{n}", f"IoU@{n}", at=float(n), listed=n in TABLED) for n in range(1, MOST + 1)),
    Column(AREA, "mean over the curve"),
    Column("best", "IoU, best click"),
)
CURVE = Curve("IoU after each click", "clicks", "IoU")


@dataclass(frozen=True)
class AllClicks:
    """Always ``most`` clicks, so that the curve is of the same structures throughout; a click may make it worse.

    NoC counts to the first click that reaches a goal, or is ``most`` (Sofiiuk et al., arXiv 2102.06583).
    Where everything is right to the pixel no click is left, and the IoU stands.
    """

    clicker: Clicker
    most: int = MOST

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        encode = lru_cache(maxsize=1)(lambda frame: predictor.encode(case.scan.frame(frame)))
        for target in sorted(targets, key=lambda t: t.frame):
            truth = case.truth(target.frame, target)
            start = perf_counter()
            rng = rng_of(seed, case.case.id, target.label)
            reached, mask = self.reached(truth, predictor, encode(target.frame), rng)
            seconds = (perf_counter() - start) / len(reached)
            yield outcome_of(target, click_numbers(reached), seconds, target.frame, mask)

    def reached(
        self, truth: Mask, predictor: FramePredictor, features: Features, rng: np.random.Generator
    ) -> tuple[list[float], Mask]:
        """The IoU after each click, and the last outline."""
        mask, clicked = np.zeros_like(truth), np.zeros_like(truth)
        points: list[tuple[float, float]] = []
        labels: list[bool] = []
        reached: list[float] = []
        feedback = None
        while len(reached) < self.most:
            click = self.clicker(truth, mask, clicked, rng)
            if click is None:
                break
            clicked[click.y, click.x] = True
            points.append((click.x, click.y))
            labels.append(click.positive)
            prompts = FramePrompts(np.array(points, dtype=float), np.array(labels))
            query = Query(prompts, mask if reached else None, feedback=feedback)
            (answer,) = decoded(predictor, features, [query], truth.shape)
            mask = answer.mask
            feedback = None if answer.logits is None else answer.logits[answer.best]
            reached.append(iou(truth, mask))
        return reached, mask


def click_numbers(reached: Sequence[float]) -> dict[str, float]:
    """What the IoU after each click comes to: every column."""
    padded = [*reached, *[reached[-1]] * (MOST - len(reached))]
    counts = {goal: next((n for n, v in enumerate(padded, 1) if v >= goal / 100), None) for goal in GOALS}
    values = {f"noc{goal}": float(MOST if count is None else count) for goal, count in counts.items()}
    values |= {f"never{goal}": float(counts[goal] is None) for goal in GOALS[:2]}
    values |= {f"iou@{n}": value for n, value in enumerate(padded, 1)}
    return values | {AREA: float(np.mean(padded)), "best": max(padded)}


def middle_click(truth: Mask, mask: Mask, clicked: Mask, rng: np.random.Generator) -> Click | None:
    """The click in the middle of the largest error."""
    return next_click(truth, mask, clicked)


def random_click(truth: Mask, mask: Mask, clicked: Mask, rng: np.random.Generator) -> Click | None:
    """A click drawn from the error, the first from the structure (SAM-Med2D, arXiv 2308.16184)."""
    wrong = (truth ^ mask) & ~clicked
    rows, columns = np.nonzero(wrong)
    if not len(rows):
        return None
    drawn = int(rng.integers(len(rows)))
    return Click(int(columns[drawn]), int(rows[drawn]), bool(truth[rows[drawn], columns[drawn]]))


_TASKS = (Task.IMAGE, Task.VOLUME)
PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        "clicks",
        "20 clicks, each in the middle of the largest remaining error (arXiv 2102.06583).",
        _TASKS,
        COLUMNS,
        False,
        AllClicks(middle_click),
        CURVE,
    ),
    Protocol(
        "clicks-random",
        "20 clicks, the first drawn from the structure, the others from the remaining error (SAM-Med2D).",
        _TASKS,
        COLUMNS,
        False,
        AllClicks(random_click),
        CURVE,
    ),
)
