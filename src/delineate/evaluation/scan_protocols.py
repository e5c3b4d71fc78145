"""Protocols for models of whole scans: a box in 3D, and classes that need no prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np

from delineate.core.prompts import Box
from delineate.data.cases import LabeledScan, Target, Task
from delineate.evaluation.metrics import Metric
from delineate.evaluation.protocol import Column, Outcome, Protocol, outcome_of
from delineate.evaluation.volume_protocols import outlined
from delineate.predictors.capabilities import Scope
from delineate.predictors.frame_predictor import Predictor
from delineate.session import Session

OUTLINE = (Column(Metric.DICE, "Dice"), Column(Metric.NSD, "NSD at 2"), Column(Metric.IOU, "IoU"))


def box_3d(case: LabeledScan, targets: Sequence[Target], predictor: Predictor, seed: int) -> Iterator[Outcome]:
    """The tight box of a structure in the whole volume; models of single slices take its middle slice and follow."""
    for target in targets:
        session, name = Session(case.scan, predictor), str(target.label)
        places = np.nonzero(case.truth_volume(target))
        start = perf_counter()
        session.prompt(Box(*(int(p.min()) for p in places), *(int(p.max()) + 1 for p in places)), name)
        if session.segmentation[name].area:
            session.propagate()
        yield _outcome(case, target, session, name, perf_counter() - start)


def classes(case: LabeledScan, targets: Sequence[Target], predictor: Predictor, seed: int) -> Iterator[Outcome]:
    """No prompt: each class against the label of the same name; what the model has no class for is missed."""
    session = Session(case.scan, predictor)
    start = perf_counter()
    session.predict()
    seconds = (perf_counter() - start) / max(1, len(targets))
    for target in targets:
        name = next((name for name in session.segmentation.names if same_name(name, target.name)), None)
        yield _outcome(case, target, session, name or session.add_object(f"no class: {target.label}"), seconds)


def _outcome(case: LabeledScan, target: Target, session: Session, name: str, seconds: float) -> Outcome:
    values = outlined(case, target, session, case.frames, name)
    found = session.segmentation
    masks = {frame: found.mask(name, frame) for frame in case.frames}
    worst = max(masks, key=lambda frame: int((case.truth(frame, target) ^ masks[frame]).sum()))
    return outcome_of(target, values, seconds, worst, masks[worst], not found[name].area)


def same_name(one: str, other: str) -> bool:
    """Whether names differ in case and in blanks alone."""
    return "".join(one.casefold().split()) == "".join(other.casefold().split())


PROTOCOLS = (
    Protocol(
        "box-3d", box_3d.__doc__ or "", (Task.VOLUME,), OUTLINE, False, box_3d, scopes=(Scope.FRAME, Scope.VOLUME)
    ),
    Protocol("classes", classes.__doc__ or "", tuple(Task), OUTLINE, False, classes, scopes=(Scope.DENSE,)),
)
