"""The protocol ``echo``: chambers of the heart on clips, patient by patient: overlap, steadiness, volumes, EF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.grid import Placement
from delineate.core.prompts import Box
from delineate.core.segmentation import Segmentation
from delineate.data.cases import LabeledScan, Target, Task, rng_of
from delineate.echo.chamber import Chamber, area_curve, atrium_of, ventricle_of
from delineate.echo.phases import end_frames, temporal_consistency
from delineate.echo.record import LEFT_ATRIUM, LEFT_VENTRICLE, EchoRecord, View, structure_meant
from delineate.evaluation.column import Column
from delineate.evaluation.echo_patients import ATRIUM, PATIENTS, VENTRICLE, patient_tables
from delineate.evaluation.metrics import Metric, dice
from delineate.evaluation.outline_metrics import outline_scores
from delineate.evaluation.protocol import Outcome, Protocol, outcome_of
from delineate.evaluation.scan_protocols import same_name
from delineate.evaluation.simulated_prompts import drawn_box
from delineate.predictors.capabilities import Scope
from delineate.predictors.frame_predictor import Predictor
from delineate.session import Session

CONSISTENCY, ED_OFF, ES_OFF = "consistency", "ed_off", "es_off"
VIEWS = tuple(View)
Masks = Mapping[int, NDArray[np.bool_]]


def echo(case: LabeledScan, targets: Sequence[Target], predictor: Predictor, seed: int) -> Iterator[Outcome]:
    """Chambers of the heart on a whole clip: classes where the model has them, else a box on end-diastole, followed.

    Overlap on the labeled frames; temporal consistency of the area (0 is smoothest) and the end frames from the area
    curve over all frames; of left ventricle and atrium what volumes are made of at the reference's end frames.
    """
    session = Session(case.scan, predictor)
    start = perf_counter()
    names = _predicted(session, targets) if predictor.capabilities.scope is Scope.DENSE else {}
    if not names:
        names = _followed(session, case, targets, seed)
    seconds = (perf_counter() - start) / max(1, len(targets))
    found = session.segmentation
    by_part = {structure_meant(t.name): names[t.label] for t in targets}
    for target in targets:
        yield _outcome(case, target, found, names[target.label], by_part, seconds)


def _predicted(session: Session, targets: Sequence[Target]) -> dict[int, str]:
    """The session's object for each target: the class of that name, or of one that means the same."""
    session.predict()
    names = {}
    for target in targets:
        meant = structure_meant(target.name)
        there = session.segmentation.names
        own = [n for n in there if same_name(n, target.name) or (meant and structure_meant(n) == meant)]
        names[target.label] = own[0] if own else session.add_object(f"no class: {target.label}")
    return names


def _followed(session: Session, case: LabeledScan, targets: Sequence[Target], seed: int) -> dict[int, str]:
    first = case.echo.diastole if case.echo is not None else None
    names = {}
    for target in targets:
        seen = [frame for frame in case.frames if case.truth(frame, target).any()]
        frame = first if first in seen else seen[0]
        names[target.label] = session.add_object(str(target.label))
        box = drawn_box(case.truth(frame, target), rng_of(seed, case.case.id, target.label))
        session.prompt(Box(*box, frame=frame), names[target.label])
    if any(one.area for one in session.segmentation.objects):
        session.propagate()
    return names


def _outcome(
    case: LabeledScan, target: Target, found: Segmentation, name: str, parts: Mapping[str | None, str], seconds: float
) -> Outcome:
    truths = {frame: case.truth(frame, target) for frame in case.frames}
    masks = {frame: found.mask(name, frame) for frame in case.frames}
    spacing = case.scan.frame_spacing[::-1]
    scores = [outline_scores(truths[f], masks[f], spacing) for f in case.frames if truths[f].any() or masks[f].any()]
    values = {str(key): float(np.mean([one[key] for one in scores])) for key in (Metric.DICE, Metric.HD95)}
    areas = [int(found.mask(name, frame).sum()) for frame in range(len(case.scan))]
    values[CONSISTENCY] = temporal_consistency(areas)
    values[ED_OFF] = values[ES_OFF] = float("nan")
    if structure_meant(target.name) == LEFT_VENTRICLE and case.echo is not None:
        values |= _frames_off(area_curve(found.mask(name, frame) for frame in range(len(case.scan))), case.echo)
        values |= _chambers(case, target, found, parts)
    worst = min(masks, key=lambda f: dice(truths[f], masks[f]))
    return outcome_of(target, values, seconds, worst, masks[worst], not found[name].area)


def _frames_off(areas: Sequence[int], record: EchoRecord) -> dict[str, float]:
    """How many frames the phases of the area curve lie from the reference's, of clips of more than these two.

    Within the reference's beat, half as long again on either side: of several beats another may be the largest.
    """
    if len(areas) < 3 or record.diastole is None or record.systole is None:
        return {}
    first, last = sorted((record.diastole, record.systole))
    start, stop = max(0, first - (last - first) // 2), last + (last - first) // 2 + 1
    try:
        ends = end_frames(areas[start:stop])
    except InputError:
        return {}
    off = start + ends.diastole - record.diastole, start + ends.systole - record.systole
    return {ED_OFF: float(abs(off[0])), ES_OFF: float(abs(off[1]))}


def _chambers(
    case: LabeledScan, target: Target, found: Segmentation, parts: Mapping[str | None, str]
) -> dict[str, float]:
    """Lengths, areas and discs of both chambers at both phases, as outlined and in truth, for the patient's table."""
    record, scan = case.echo, case.scan
    assert record is not None
    known = scan.grid.placement is not Placement.PIXELS
    values = {"view": float(VIEWS.index(record.view)), "calibrated": float(known)}
    values |= {f"reported.{key}": value for key, value in record.reported.items()}
    labeled = {structure_meant(name): value for value, name in case.case.structures.items()}
    for phase, frame in (("ed", record.diastole), ("es", record.systole)):
        if frame is None or frame not in case.frames:
            continue
        own = {part: found.mask(name, frame) for part, name in parts.items() if part is not None}
        true = {
            part: case.truth(frame, Target(value, "", frame, 0)) for part, value in labeled.items() if part is not None
        }
        for who, masks in (("found", own), ("true", true)):
            for name, part, measured in _CHAMBERS:
                if part in masks:
                    with suppress(InputError):  # nothing is outlined there: the table says so
                        values |= _flat(f"{who}.{name}.{phase}", measured(masks, scan.frame_spacing))
    return values


_CHAMBERS = ((VENTRICLE, LEFT_VENTRICLE, ventricle_of), (ATRIUM, LEFT_ATRIUM, atrium_of))


def _flat(name: str, one: Chamber) -> dict[str, float]:
    discs = {f"{name}.d{n}": float(width) for n, width in enumerate(one.diameters, 1)}
    return {f"{name}.length": one.length, f"{name}.area": one.area, f"{name}.apart": one.apart} | discs


COLUMNS = (
    Column(Metric.DICE, "Dice"),
    Column(Metric.HD95, "HD95", low=True, digits=1),
    Column(CONSISTENCY, "temporal consistency", low=True, worst=float("nan")),
    Column(ED_OFF, "ED off", low=True, digits=1, worst=float("nan")),
    Column(ES_OFF, "ES off", low=True, digits=1, worst=float("nan")),
)
_ABOUT = "Chambers of the heart on a whole clip: classes of models that have them, else a box on end-diastole followed."
PROTOCOLS = (
    Protocol(
        "echo", _ABOUT, (Task.VIDEO,), COLUMNS, False, echo, scopes=(Scope.FRAME, Scope.DENSE),
        supplement=patient_tables, further_files=(PATIENTS,),
    ),
)  # fmt: skip
