"""Outlines that a person has shaped: filled between slices, cut off beyond two of them, cleaned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import PromptError
from delineate.core.grid import Placement
from delineate.core.prompt_log import CleanObject, LimitObject
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.core.shape_interpolation import interpolate
from delineate.outlines.clean import clean
from delineate.session.state import SessionState


def unlocked(segmentation: Segmentation, name: str, frame: int, mask: NDArray[np.bool_]) -> Rle | None:
    """An outline without the pixels of locked objects; None where nothing is left."""
    rest = mask & ~segmentation.locked_pixels(frame, except_for=name)
    return Rle.encode(rest) if rest.any() else None


def interpolated(state: SessionState, scan: Scan, name: str) -> SessionState:
    """The state with the frames between outlined ones filled by their shapes; those outlined stay as they are."""
    segmentation = state.segmentation
    one, track = segmentation[name], state.tracks[name]  # an unknown name is told by the first
    known = scan.grid.placement is not Placement.PIXELS
    spacing = scan.frame_spacing if known else (1.0, 1.0)
    shapes = interpolate({frame: mask.decode() for frame, mask in track.prompted.items()}, spacing)
    masks = {frame: unlocked(segmentation, name, frame, mask) for frame, mask in shapes.items()}
    bare = replace(one, scores={frame: score for frame, score in one.scores.items() if frame not in masks})
    segmentation = segmentation.replacing(bare).with_masks(name, masks)
    warnings = {frame: why for frame, why in track.warnings.items() if frame not in masks}
    return replace(state, segmentation=segmentation).with_track(name, replace(track, warnings=warnings))


def limited(state: SessionState, scan: Scan, event: LimitObject) -> SessionState:
    """Without what an object has beyond two frames. Raises PromptError where it was pointed at there."""
    one, inside = state.segmentation[event.object], range(event.first, event.last + 1)
    track = state.tracks[event.object]
    word, frames = scan.frame_word, len(scan)
    if not 0 <= event.first <= event.last < frames:
        raise PromptError(
            "E-LIMIT",
            f"{event.first} to {event.last} is not within {word} 0 to {frames - 1}.",
            "Give the first and the last frame that the structure may have.",
        )
    beyond = [frame for frame, outline in track.prompted.items() if outline.area and frame not in inside]
    if beyond:
        raise PromptError(
            "E-LIMIT",
            f'"{event.object}" is pointed at on {word} {beyond[0]}, beyond {event.first} to {event.last}.',
            "Let the limit include every frame that is pointed at, or take the prompt back.",
        )
    cut: dict[int, Rle | None] = {f: None for f in one.masks if f not in inside}
    warnings = {frame: why for frame, why in track.warnings.items() if frame in inside}
    ended = {frame: way for frame, way in track.ended.items() if frame in inside}
    state = replace(state, segmentation=state.segmentation.with_masks(event.object, cut))
    return state.with_track(event.object, replace(track, warnings=warnings, ended=ended))


def cleaned(state: SessionState, event: CleanObject) -> SessionState:
    """The state with an object cleaned: what it is followed from, too, so that following goes on from there.

    Raises PromptError for a locked object, and where nothing of it would be left.
    """
    name, before = event.object, state.segmentation[event.object]
    found = clean(state.segmentation, event.steps, (name,))[name]
    if not found.area:
        text = f'Nothing of "{name}" would be left.' if before.area else f'Nothing of "{name}" is outlined yet.'
        raise PromptError("E-CLEAN-EMPTY", text, "Give a smaller size." if before.area else "Point at it first.")
    masks = {frame: found.masks.get(frame) for frame in {*before.masks, *found.masks}}
    segmentation = state.segmentation.with_masks(name, masks)
    nothing = Rle.encode(np.zeros(segmentation.frame_shape, dtype=bool))
    track = state.tracks[name]
    prompted = {frame: found.masks.get(frame, nothing) for frame in track.prompted}
    changed = {frame for frame, outline in track.prompted.items() if prompted[frame] != outline}
    followed = {frame: replace(done, outline=prompted[frame]) for frame, done in track.followed.items()}
    track = replace(track, prompted=prompted, edited=track.edited | changed, followed=followed)
    return replace(state, segmentation=segmentation).with_track(name, track)
