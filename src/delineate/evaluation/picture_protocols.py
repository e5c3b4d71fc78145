"""Protocols that ask on one picture again and again: with boxes drawn ever more sloppily, and under corruptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from time import perf_counter

from delineate.core.resolve import FramePrompts
from delineate.data.cases import LabeledScan, Target, Task, rng_of
from delineate.evaluation.metrics import Metric, dice, iou
from delineate.evaluation.protocol import Column, Curve, Outcome, Protocol, outcome_of
from delineate.evaluation.simulated_prompts import BOX_ERROR, drawn_box
from delineate.evaluation.video_protocols import CLEAN, KEPT, MEAN, USUAL_SEVERITY, Robustness
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import FramePredictor, Query

ERRORS = (0.0, 0.05, 0.1, 0.2, 0.4)  # of the box's side: how far each side is off at most
USUAL_CORRUPTIONS = ("gaussian-noise", "defocus-blur", "contrast", "jpeg", "smoke")  # noise, blur, light, file, scene
SAID = "said"  # the predicted IoU of the outline


def percent(error: float) -> str:
    """How columns call a box error: ``5``."""
    return f"{100 * error:.0f}"


def sloppy_boxes(
    case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
) -> Iterator[Outcome]:
    """One box a structure, five times: its sides off by up to 0, 5, 10, 20 and 40 %, all moved the same way.

    At 5 % these are the boxes of ``box-2d``. The IoU and what the predictor says of it are kept for each, for tables of
    its calibration.
    """
    encode = lru_cache(maxsize=1)(lambda frame: predictor.encode(case.scan.frame(frame)))
    for target in sorted(targets, key=lambda t: t.frame):
        truth = case.truth(target.frame, target)
        boxes = [drawn_box(truth, rng_of(seed, case.case.id, target.label), error) for error in ERRORS]
        start = perf_counter()
        queries = [Query(FramePrompts(box=box)) for box in boxes]
        answers = decoded(predictor, encode(target.frame), queries, truth.shape)
        seconds = (perf_counter() - start) / len(boxes)
        values: dict[str, float] = {}
        for error, answer in zip(ERRORS, answers, strict=True):
            at = percent(error)
            values[f"{Metric.DICE}@{at}"] = dice(truth, answer.mask)
            values[f"{Metric.IOU}@{at}"] = iou(truth, answer.mask)
            values[f"{SAID}@{at}"] = answer.score
        mask = answers[ERRORS.index(BOX_ERROR)].mask
        yield outcome_of(target, {c.key: values[c.key] for c in _SLOPPY}, seconds, target.frame, mask)


_USUAL = percent(BOX_ERROR)
_SLOPPY = (
    Column(f"{Metric.DICE}@{_USUAL}", f"Dice, {_USUAL} %", at=float(_USUAL)),
    *(
        Column(f"{Metric.DICE}@{percent(e)}", f"{percent(e)} %", at=100 * e)
        for e in ERRORS
        if e != BOX_ERROR
    ),
    *(Column(f"{key}@{percent(e)}", f"{key} {percent(e)} %", listed=False) for key in ("iou", SAID) for e in ERRORS),
)  # fmt: skip
_ROBUST = (
    Column(MEAN, "J, corrupted"),
    Column(KEPT, "share kept"),
    Column(CLEAN, "J, clean"),
    *(Column(name, name) for name in USUAL_CORRUPTIONS),
)
PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(
        "box-sloppy",
        "One box a structure, five times: its sides off by up to 0, 5, 10, 20 and 40 % of its length.",
        tuple(Task),
        _SLOPPY,
        True,
        sloppy_boxes,
        Curve("Dice from a sloppy box", "sides off by up to, %", "Dice"),
    ),
    Protocol(
        "picture-robust",
        f"The true box on a picture: clean, and under {len(USUAL_CORRUPTIONS)} corruptions, severity {USUAL_SEVERITY}.",
        (Task.IMAGE,),
        _ROBUST,
        True,
        Robustness(((CLEAN, None, 0), *((name, name, USUAL_SEVERITY) for name in USUAL_CORRUPTIONS))),
    ),
)
