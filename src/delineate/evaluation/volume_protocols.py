"""Protocols that follow a structure through a volume: SAM 2 on 18 sets, MedSAM2's benchmark, BioSAM 2's volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import product
from time import perf_counter
from typing import cast

import numpy as np
from numpy.typing import NDArray

from delineate.core.propagation_options import Directions, PropagationOptions
from delineate.core.resolve import FramePrompts
from delineate.core.scan import ScanKind
from delineate.data.cases import LabeledScan, Target, Task, rng_of
from delineate.evaluation.frame_prompts import (
    MOST_PARTS,
    PointsAt,
    as_prompts,
    biosam_box,
    box_of,
    grown_box,
    largest_box,
    middle_points,
    random_points,
    tight_box,
    true_mask,
)
from delineate.evaluation.metrics import Metric, iou
from delineate.evaluation.outline_metrics import added_columns, outline_scores
from delineate.evaluation.protocol import Column, Outcome, Protocol, outcome_of
from delineate.predictors.answers import decoded
from delineate.predictors.capabilities import Propagation
from delineate.predictors.frame_predictor import FramePredictor, Predictor, Query
from delineate.session import Session

SLICE_IOU, RELEASED_IOU = "iou_slices", "iou_released"
EIGHTEEN = (
    Column(SLICE_IOU, "IoU a slice"),
    Column(RELEASED_IOU, "IoU, as released"),
    Column(Metric.DICE, "Dice"),
    Column(Metric.NSD, "NSD at 2"),
)
OUTLINE = (Column(Metric.DICE, "Dice"), Column(Metric.NSD, "NSD at 2"), Column(Metric.IOU, "IoU"))
Areas = Mapping[int, int]  # pixels of a structure on each labeled frame that shows it


class Start(StrEnum):
    """Where a structure is prompted."""

    FIRST = "first"
    MIDDLE = "middle"
    LARGEST = "largest"
    THREE = "three"

    def frames(self, areas: Areas) -> list[int]:
        """Frames of a structure (SAM 2 on 18 sets: fmode 1 to 4)."""
        shown = sorted(areas)
        if self is Start.FIRST:
            return shown[:1]
        if self is Start.MIDDLE:
            return [shown[len(shown) // 2]]
        if self is Start.LARGEST:
            return [max(shown, key=lambda frame: areas[frame])]
        stepped = shown[:: max(1, len(shown) // 4)]
        return stepped[1:4] if len(stepped) > 4 else stepped[:3]


POINTING: Mapping[str, tuple[PointsAt, str]] = {
    "point": (middle_points, "a point in the middle of the largest piece"),
    "points": (partial(middle_points, parts=MOST_PARTS), "a point in each of the three largest pieces"),
    "box": (largest_box, "the box of the largest piece"),
    "mask": (true_mask, "the true outline"),
}
DIRECTIONS = {"forward": Directions.FORWARD, "both": Directions.BOTH}


@dataclass(frozen=True)
class Followed18:
    """SAM 2 on 18 sets, volumes: every structure on its own, from the chosen slices on.

    IoU counts the slices that show the structure. As released, slices behind the first one prompted count twice when
    both directions are followed, and what is outlined elsewhere never counts; Dice and NSD of the volume do count it.
    """

    start: Start
    point: PointsAt
    directions: Directions

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        session = Session(case.scan, predictor)
        begin = perf_counter()
        areas = {target.label: areas_of(case, target) for target in targets}
        for target in targets:
            _point_at(session, case, target, self.start.frames(areas[target.label]), self.point, seed)
        _follow(session, targets, PropagationOptions(directions=self.directions, reset=True))
        seconds = (perf_counter() - begin) / max(1, len(targets))
        for target in targets:
            shown = sorted(areas[target.label])
            behind = [f for f in shown if f < min(self.start.frames(areas[target.label]))]
            masks = {frame: session.segmentation.mask(str(target.label), frame) for frame in shown}
            scores = {frame: iou(case.truth(frame, target), mask) for frame, mask in masks.items()}
            twice = behind if self.directions is Directions.BOTH else []
            values = {
                SLICE_IOU: float(np.mean(list(scores.values()))),
                RELEASED_IOU: float(np.mean([*scores.values(), *(scores[frame] for frame in twice)])),
            } | outlined(case, target, session, list(shown))
            worst = min(scores, key=lambda frame: scores[frame])
            yield _outcome(target, values, EIGHTEEN, seconds, worst, masks[worst], session)


@dataclass(frozen=True)
class MiddleSlice:
    """MedSAM2's benchmark: a box on the middle slice of the structure; its answer is followed both ways, to its ends.

    point  how it is prompted there
    given  take the box that came with the case, where one did, and its first and last slice

    A system with a memory is given the outline that its image predictor makes of the box, and forgets it in between, as
    the released scripts do.
    """

    point: PointsAt = tight_box
    given: bool = False

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        for target in targets:
            session = Session(case.scan, predictor)
            shown = sorted(areas_of(case, target))
            first, stop, point = shown[0], shown[-1] + 1, self.point
            box = case.boxes.get(target.label) if self.given else None
            if box is not None and len(box) == 6:
                first, stop = max(0, int(box[2])), min(len(case.scan), int(np.ceil(box[5])))
                point = box_of((box[0], box[1], box[3], box[4]))
            elif box is not None:
                point = box_of((box[0], box[1], box[2], box[3]))
            wanted = (first + stop) // 2
            middle = min(shown, key=lambda frame: abs(frame - wanted))
            begin = perf_counter()
            _point_at(session, case, target, [middle], point, seed, by_image=True)
            if len(case.scan) > 1:
                _follow(session, [target], PropagationOptions(reset=True), first, stop)
            seconds = perf_counter() - begin
            values = outlined(case, target, session, shown)
            worst = max(shown, key=lambda f: _wrong(case, target, session, f))
            mask = session.segmentation.mask(str(target.label), worst)
            yield _outcome(target, values, OUTLINE, seconds, worst, mask, session)


@dataclass(frozen=True)
class FromFirst:
    """The structure is prompted where it is first labeled, and followed to the end.

    to_last   no further than the last labeled frame that shows it
    by_image  a system with a memory is given the outline that its image predictor makes of the prompts
    """

    point: PointsAt
    to_last: bool = False
    by_image: bool = False

    def __call__(
        self, case: LabeledScan, targets: Sequence[Target], predictor: FramePredictor, seed: int
    ) -> Iterator[Outcome]:
        session = Session(case.scan, predictor)
        begin = perf_counter()
        areas = {target.label: areas_of(case, target) for target in targets}
        for target in targets:
            _point_at(session, case, target, [min(areas[target.label])], self.point, seed, self.by_image)
        stop = max((max(a) for a in areas.values()), default=0) + 1 if self.to_last else None
        if len(case.scan) > 1:
            _follow(session, targets, PropagationOptions(directions=Directions.FORWARD), None, stop)
        seconds = (perf_counter() - begin) / max(1, len(targets))
        for target in targets:
            first = min(areas[target.label])
            frames = [frame for frame in case.frames if frame >= first]
            values = outlined(case, target, session, frames)
            worst = max(frames, key=partial(_wrong, case, target, session))
            mask = session.segmentation.mask(str(target.label), worst)
            yield _outcome(target, values, OUTLINE, seconds, worst, mask, session)


def areas_of(case: LabeledScan, target: Target) -> dict[int, int]:
    """Pixels of a structure on each labeled frame that shows it."""
    areas = {frame: int(case.truth(frame, target).sum()) for frame in case.frames}
    return {frame: area for frame, area in areas.items() if area}


def outlined(
    case: LabeledScan, target: Target, session: Session, frames: Sequence[int], name: str | None = None
) -> dict[str, float]:
    """Dice, NSD (2 mm) and IoU: of the whole volume, or the mean over frames of a video or image.

    name  of the object that was outlined; by default the label
    """
    found, name = session.segmentation, name or str(target.label)
    columns = (*OUTLINE, *added_columns())
    if case.scan.kind is ScanKind.VOLUME:
        scores = outline_scores(case.truth_volume(target), found.voxels(name), case.scan.grid.spacing)
        return {column.key: scores[column.key] for column in columns}
    spacing = case.scan.frame_spacing[::-1]
    each = [outline_scores(case.truth(frame, target), found.mask(name, frame), spacing) for frame in frames]
    return {column.key: float(np.mean([scores[column.key] for scores in each])) for column in columns}


def _point_at(
    session: Session,
    case: LabeledScan,
    target: Target,
    frames: Sequence[int],
    point: PointsAt,
    seed: int,
    by_image: bool = False,
) -> None:
    name = session.add_object(str(target.label))
    for frame in frames:
        rng = rng_of(seed, case.case.id, target.label, frame)
        prompts = point(case.truth(frame, target), rng)
        if by_image and len(case.scan) > 1:
            prompts = _outlined_alone(session.predictor, case, frame, prompts)
        session.prompt_all(as_prompts(prompts, frame), name)


def _outlined_alone(predictor: Predictor, case: LabeledScan, frame: int, prompts: FramePrompts) -> FramePrompts:
    """What a system with a memory makes of prompts on a frame that is taken for a picture; others are prompted."""
    if predictor.capabilities.follows is not Propagation.MEMORY:
        return prompts
    frames = cast(FramePredictor, predictor)
    seen = case.scan.frame(frame)
    answer = decoded(frames, frames.encode(seen), [Query(prompts)], seen.size)[0]
    return FramePrompts(mask=answer.mask) if answer.mask.any() else prompts


def _follow(
    session: Session,
    targets: Sequence[Target],
    following: PropagationOptions | None,
    first: int | None = None,
    stop: int | None = None,
) -> None:
    names = [str(t.label) for t in targets if session.segmentation[str(t.label)].area]
    if names:
        session.propagate(names, first=first, stop=stop, following=following)


def _wrong(case: LabeledScan, target: Target, session: Session, frame: int) -> int:
    """Pixels that are wrong on a frame."""
    return int((case.truth(frame, target) ^ session.segmentation.mask(str(target.label), frame)).sum())


def _outcome(
    target: Target,
    values: Mapping[str, float],
    columns: Sequence[Column],
    seconds: float,
    frame: int,
    mask: NDArray[np.bool_],
    session: Session,
) -> Outcome:
    missed = not session.segmentation[str(target.label)].area
    return outcome_of(target, {c.key: values[c.key] for c in columns}, seconds, frame, mask, missed)


def _eighteen() -> Iterator[Protocol]:
    """Every choice of slice, prompt and direction; without any of them the released code's own."""
    for start, (kind, (point, words)), (way, directions) in product(Start, POINTING.items(), DIRECTIONS.items()):
        measure = Followed18(start, point, directions)
        where = "three slices spread evenly" if start is Start.THREE else f"the {start} slice that shows the structure"
        ways = "followed both ways" if directions is Directions.BOTH else "followed forwards"
        about = f"SAM 2 on 18 sets (arXiv 2408.00756), volumes: {words} on {where}, {ways}."
        made = partial(Protocol, about=about, tasks=(Task.VOLUME,), columns=EIGHTEEN, measure=measure)
        yield made(f"sam2-18-{start}-{kind}-{way}", box_alone=kind in ("box", "mask"))
        if (start, kind, way) == (Start.MIDDLE, "point", "forward"):
            yield made("sam2-18", box_alone=False)


_BENCH = "MedSAM2's benchmark (arXiv 2408.03322)"
_BIOSAM = "BioSAM 2 (arXiv 2408.03286), pipeline 2: slices are frames, followed from the first that shows the structure"
_MOVING = (Task.VOLUME, Task.VIDEO)
_make: Callable[..., Protocol] = partial(Protocol, columns=OUTLINE)
PROTOCOLS: tuple[Protocol, ...] = (
    *_eighteen(),
    _make(
        "medsam2-bench",
        about=f"{_BENCH}, volumes: the box of the middle slice, its answer followed both ways to the structure's ends.",
        tasks=(Task.VOLUME,),
        box_alone=True,
        measure=MiddleSlice(),
    ),
    _make(
        "medsam2-bench-2d",
        about=f"{_BENCH}, images: the true box.",
        tasks=(Task.IMAGE,),
        box_alone=True,
        measure=MiddleSlice(),
    ),
    _make(
        "medsam2-bench-video",
        about=f"{_BENCH}, video: the true box where the structure is first labeled, followed forwards.",
        tasks=(Task.VIDEO,),
        box_alone=True,
        measure=FromFirst(tight_box, to_last=True, by_image=True),
    ),
    _make(
        "medsam2-bench-video-released",
        about=f"{_BENCH}, video: that box, sides up to 5 pixels of 256 outwards (released code), followed forwards.",
        tasks=(Task.VIDEO,),
        box_alone=True,
        measure=FromFirst(partial(grown_box, least=0.0, most=5.0, side=256), to_last=True, by_image=True),
    ),
    _make(
        "laptop-box",
        about="CVPR 2024 laptop challenge (arXiv 2412.16085): the box in the file; in a volume from its middle slice.",
        tasks=(Task.IMAGE, Task.VOLUME),
        box_alone=True,
        measure=MiddleSlice(given=True),
    ),
    _make("biosam2-volume", about=f"{_BIOSAM}; a box.", tasks=_MOVING, box_alone=True, measure=FromFirst(biosam_box)),
    _make(
        "biosam2-volume-click",
        about=f"{_BIOSAM}; one point drawn on it.",
        tasks=_MOVING,
        box_alone=False,
        measure=FromFirst(partial(random_points, count=1)),
    ),
    _make(
        "biosam2-volume-clicks",
        about=f"{_BIOSAM}; three points drawn on it.",
        tasks=_MOVING,
        box_alone=False,
        measure=FromFirst(partial(random_points, count=3)),
    ),
    _make(
        "biosam2-volume-mask",
        about=f"{_BIOSAM}; the true outline.",
        tasks=_MOVING,
        box_alone=True,
        measure=FromFirst(true_mask),
    ),
)
