"""A session's state from its log and the outlines it wrote, without following anything again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from delineate.core.manifest import ObjectRecord
from delineate.core.prompt_log import (
    AddObject,
    AddPrompt,
    AddPrompts,
    ChooseCandidate,
    CleanObject,
    Interpolate,
    Predict,
    PromptLog,
    Propagate,
)
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.predictors.frame_predictor import Predictor
from delineate.session.changes import Changes
from delineate.session.session import Session
from delineate.session.state import ObjectTrack, RecordedPrompt, SessionState
from delineate.tracking.guards import GuardSettings


def restored_session(
    scan: Scan,
    log: PromptLog,
    outlines: Segmentation,
    objects: Sequence[ObjectRecord],
    predictor: Predictor | None = None,
    guards: GuardSettings | None = None,
) -> Session:
    """The session that a log records, its outlines taken from what it wrote: nothing is followed again.

    outlines  with the names of the log's structures, on the scan's grid
    objects   what the manifest says of them
    """
    session = Session(scan, predictor, guards)
    session.begin_at(log, lambda changes: restored_state(changes, log, outlines, objects))
    return session


def restored_state(
    changes: Changes, log: PromptLog, outlines: Segmentation, objects: Sequence[ObjectRecord]
) -> SessionState:
    """What there was at the end of a log.

    Prompts before anything was followed are answered once more, as a click that corrects them may need the answer; of
    all else the log says what was asked, and ``outlines`` what came of it.
    """
    state = SessionState(Segmentation.empty(changes.scan), {})
    answering = True
    for number, event in enumerate(log.current, 1):
        match event:
            case AddPrompt() | AddPrompts() if not answering:
                state = _pointed(changes, state, event, number)
            case Propagate():
                state = _with_outlines(state, outlines)
                state, answering = changes.propagation(state, event).as_followed(), False
            case Interpolate() | CleanObject():
                answering = False
            case Predict():
                for one in event.objects:
                    state = changes.after(state, AddObject(object=one.object, label=one.label, color=one.color), number)
                answering = False
            case ChooseCandidate() if not answering:
                track = state.tracks[event.object]
                state = state.with_track(event.object, replace(track, edited=track.edited | {event.frame}))
            case _:
                state = changes.after(state, event, number)
    state = _with_outlines(state, outlines)
    for record in objects:
        track = state.tracks[record.name]
        state = state.with_track(record.name, replace(track, warnings=record.warnings, ended=record.ended))
        known = {frame: score for frame, score in record.confidence.items() if frame in outlines[record.name].masks}
        scored = replace(state.segmentation[record.name], scores=known)
        state = replace(state, segmentation=state.segmentation.replacing(scored))
    return state


def _pointed(changes: Changes, state: SessionState, event: AddPrompt | AddPrompts, number: int) -> SessionState:
    """A prompt put down where it landed, without an answer."""
    if event.new is not None:
        state = changes.after(state, event.new, number)
    placed = [changes.placed(prompt) for prompt in event.prompts]
    frame, track = placed[0].frame, state.tracks[event.object]
    clicked = any(len(one.prompts.points) for one in placed)
    followed = any(done.first <= frame < done.stop for done in track.followed.values())
    edited = track.edited | {frame} if clicked and followed and frame not in track.prompted else track.edited
    empty = Rle.encode(np.zeros((changes.scan.height, changes.scan.width), dtype=bool))
    prompts = (*track.prompts, *(RecordedPrompt.of(one, number) for one in placed))
    prompted = {**track.prompted, frame: track.prompted.get(frame, empty)}
    return state.with_track(event.object, replace(track, prompts=prompts, edited=edited, prompted=prompted))


def _with_outlines(state: SessionState, outlines: Segmentation) -> SessionState:
    """The state with the outlines that were written, on frames that were prompted too."""
    empty = Rle.encode(np.zeros(outlines.frame_shape, dtype=bool))
    for one in state.segmentation.objects:
        if one.name not in outlines:  # removed later
            continue
        masks = {frame: mask for frame, mask in outlines[one.name].masks.items() if mask.area}
        track: ObjectTrack = state.tracks[one.name]
        prompted = {frame: masks.get(frame, empty) for frame in track.prompted}
        state = replace(state, segmentation=state.segmentation.replacing(replace(one, masks=masks)))
        state = state.with_track(one.name, replace(track, prompted=prompted))
    return state
