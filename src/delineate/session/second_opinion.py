"""What a second model makes of a session's outlines, frame by frame, and how sure they are with that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from delineate.core.manifest import ObjectRecord
from delineate.predictors.frame_predictor import FramePredictor
from delineate.predictors.second_opinion import FrameBox, OpinionPrompt, OpinionTable, second_opinion
from delineate.session.session import Session
from delineate.session.state import ObjectTrack

DISAGREE: Final = 0.8  # Dice from which down two outlines disagree, for models whose agreement was not measured


@dataclass(frozen=True)
class FrameOpinion:
    """What the second model makes of one outline.

    agreement   Dice of the two outlines, 0 to 1
    confidence  the IoU expected of the outline with that, 0 to 1; the first model's own where nothing was measured
    disagrees   whether the two are so far apart that a person should look
    """

    agreement: float
    confidence: float
    disagrees: bool


Opinions = Mapping[str, Mapping[int, FrameOpinion]]  # by object and frame


def opinions(
    session: Session,
    second: FramePredictor,
    table: OpinionTable | None,
    progress: Callable[[int, int], None] | None = None,
) -> Opinions:
    """Ask a second model about every outline of a session that no person drew.

    Parameters
    ----------
    session
        As it ended.
    second
        Answers boxes: the one box a person gave on a frame, elsewhere the box around the outline there.
    table
        What was measured of this pair of models; None: confidences stay as they are.
    progress
        Called with the frames done and all.
    """
    found: dict[str, dict[int, FrameOpinion]] = {one.name: {} for one in session.segmentation.objects}
    frames = sorted({frame for one in session.segmentation.objects for frame in one.frames})
    for number, frame in enumerate(frames, 1):
        asked = list(_asked(session, frame))
        features = second.encode(session.scan.frame(frame)) if asked else None
        for name, box in asked:
            outline = session.segmentation.mask(name, frame)
            said = session.segmentation[name].scores.get(frame, 0.0)
            opinion = second_opinion(second, features, outline, box)
            known = None if table is None else table.maps.get(opinion.asked)
            confidence = said if known is None else known.confidence(said, opinion.agreement)
            below = DISAGREE if table is None else table.disagree_below
            found[name][frame] = FrameOpinion(opinion.agreement, confidence, opinion.agreement < below)
        if progress is not None:
            progress(number, len(frames))
    return found


def with_opinions(record: ObjectRecord, found: Mapping[int, FrameOpinion], second: str) -> ObjectRecord:
    """The record of an object with confidences as they are now, and where the models disagree first in its warnings."""
    reason = f"{second} outlines it otherwise"
    apart = sorted((one.agreement, frame) for frame, one in found.items() if one.disagrees)
    warnings = {f: "; ".join([reason, *([record.warnings[f]] if f in record.warnings else [])]) for _, f in apart}
    return record.model_copy(
        update={
            "confidence": record.confidence | {frame: round(one.confidence, 4) for frame, one in found.items()},
            "agreement": {frame: round(one.agreement, 4) for frame, one in found.items()},
            "warnings": warnings | {frame: why for frame, why in record.warnings.items() if frame not in warnings},
        }
    )


def _asked(session: Session, frame: int) -> Iterator[tuple[str, FrameBox | None]]:
    """Objects to ask about on a frame, each with the box a person gave there, where that was all."""
    for one in session.segmentation.objects:
        if frame not in one.masks or not one.masks[frame].area:
            continue
        track = session.tracks[one.name]
        if not _drawn(track, frame):
            yield one.name, _box(track, frame)


def _drawn(track: ObjectTrack, frame: int) -> bool:
    """Whether a person drew the outline on a frame."""
    queries = track.queries(frame)
    return bool(queries) and queries[-1].drawn is not None


def _box(track: ObjectTrack, frame: int) -> FrameBox | None:
    queries = track.queries(frame)
    if len(queries) != 1 or len(queries[0].points) or queries[0].mask is not None:
        return None
    return queries[0].box


__all__ = ["FrameOpinion", "OpinionPrompt", "Opinions", "opinions", "with_opinions"]
