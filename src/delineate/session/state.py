"""What a session knows at one moment. A change makes a new state; undo goes back to an old one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from delineate.core.errors import Notice
from delineate.core.grid import Placement
from delineate.core.manifest import ObjectRecord
from delineate.core.propagation_options import PropagationOptions
from delineate.core.resolve import FramePrompts, ResolvedPrompt
from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation, SegmentedObject
from delineate.core.terminal_text import rounded
from delineate.predictors.frame_predictor import Candidates


@dataclass(frozen=True)
class FollowedFrom:
    """An outline that was followed, the frames ``first`` to ``stop`` it answered for, and how."""

    outline: Rle
    first: int
    stop: int
    following: PropagationOptions

    def is_from(self, outline: Rle, following: PropagationOptions) -> bool:
        """Whether following this outline this way would go on from here; otherwise it begins anew."""
        return self.outline == outline and self.following == following

    def without(self, first: int, stop: int, own: int) -> FollowedFrom:
        """Without the frames ``first`` to ``stop``, followed from another outline since; ``own``: its own frame."""
        if own < first:
            return replace(self, stop=min(self.stop, first))
        return replace(self, first=max(self.first, stop))


@dataclass(frozen=True, eq=False)
class RecordedPrompt:
    """A prompt where it landed; its outline, if it has one, as run lengths.

    event  number of the log's event it came with, from 1: prompts of one event are one query
    """

    placed: ResolvedPrompt
    outline: Rle | None
    event: int

    @classmethod
    def of(cls, placed: ResolvedPrompt, event: int) -> RecordedPrompt:
        mask = placed.prompts.mask
        light = replace(placed, prompts=replace(placed.prompts, mask=None))
        return cls(light, None if mask is None else Rle.encode(mask), event)

    @property
    def whole(self) -> ResolvedPrompt:
        """With the outline as a mask."""
        if self.outline is None:
            return self.placed
        return replace(self.placed, prompts=replace(self.placed.prompts, mask=self.outline.decode()))


@dataclass(frozen=True, eq=False)
class StoredCandidates:
    """The outlines a predictor offered for a prompt, as run lengths.

    event   number of the log's event that was answered, from 1
    logits  whether the predictor wants the logits of one back with the next click
    """

    masks: tuple[Rle, ...]
    scores: tuple[float, ...]
    event: int
    logits: bool

    @classmethod
    def of(cls, answer: Candidates, event: int) -> StoredCandidates:
        masks = tuple(Rle.encode(mask) for mask in answer.masks)
        return cls(masks, tuple(float(score) for score in answer.scores), event, answer.logits is not None)


@dataclass(frozen=True, eq=False)
class ObjectTrack:
    """What is known of one object beside its masks.

    prompts   where they landed, in order
    prompted  outlines the prompts gave, by frame: what it is followed from
    followed  for each of these frames, how it was followed from there last, and how far
    edited    prompted frames whose outline is not what the prompts there give: another candidate was chosen, pixels
              were locked, or a followed outline was corrected
    warnings  what looked wrong, by frame
    ended     frames where following it stopped, and the direction
    """

    prompts: tuple[RecordedPrompt, ...] = ()
    prompted: Mapping[int, Rle] = field(default_factory=dict)
    edited: frozenset[int] = frozenset()
    followed: Mapping[int, FollowedFrom] = field(default_factory=dict)
    warnings: Mapping[int, str] = field(default_factory=dict)
    ended: Mapping[int, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """In one line, as notebooks show it."""
        doubts = f", look at {sorted(self.warnings)}" if self.warnings else ""
        return f"ObjectTrack({len(self.prompts)} prompts on frames {sorted(self.prompted)}{doubts})"

    @property
    def span(self) -> tuple[int, int] | None:
        """The frames ``first`` to ``stop`` (excluded) between the ends of 3D boxes and all else it was prompted on.

        A box on one frame says nothing of the others.
        """
        spans = [p.placed.span for p in self.prompts if p.placed.span and p.placed.span[1] - p.placed.span[0] > 1]
        if not spans:
            return None
        frames = [p.placed.frame for p in self.prompts]
        return min(*(s[0] for s in spans), *frames), max(*(s[1] for s in spans), *(frame + 1 for frame in frames))

    def queries(self, frame: int) -> tuple[FramePrompts, ...]:
        """What was asked on a frame, in order, since an outline was drawn there last: a query for each event."""
        events: dict[int, list[RecordedPrompt]] = {}
        for prompt in self.prompts:
            if prompt.placed.frame == frame:
                events.setdefault(prompt.event, []).append(prompt)
        since: list[FramePrompts] = []
        for together in reversed(events.values()):  # what came before an outline was drawn is not even decoded
            since.append(FramePrompts.joined([one.whole.prompts for one in together]))
            if since[-1].drawn is not None:
                break
        return tuple(reversed(since))

    def words(self, frame: int) -> str | None:
        """What the object was called on a frame, last."""
        placed = [prompt.placed for prompt in self.prompts[::-1] if prompt.placed.frame == frame]
        return next((one.prompts.text for one in placed if one.prompts.text), None)


@dataclass(frozen=True, eq=False)
class SessionState:
    """Outlines, prompts and answers at one moment; no full-size mask is kept, so that history stays small.

    offers   the outlines the model offered last for (object, frame)
    notices  what was said of the prompts
    """

    segmentation: Segmentation
    tracks: Mapping[str, ObjectTrack]
    offers: Mapping[tuple[str, int], StoredCandidates] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()

    def with_track(self, name: str, track: ObjectTrack) -> SessionState:
        return replace(self, tracks={**self.tracks, name: track})

    def parts(self, beside: SessionState | None = None) -> Iterator[tuple[object, int]]:
        """What this state is made of and other states may share, and about how many bytes each part takes.

        beside  leave out objects, tracks and answers that this state has too, and all that is in them
        """
        known = set[int]() if beside is None else beside._ids()
        for one in self.segmentation.objects:
            if id(one) not in known:
                yield one, ENTRY_BYTES * (len(one.masks) + len(one.scores))
                yield from (_runs(mask) for mask in one.masks.values())
        for track in self.tracks.values():
            if id(track) not in known:
                sizes = (track.prompts, track.prompted, track.followed, track.warnings, track.ended)
                yield track, ENTRY_BYTES * sum(len(size) for size in sizes)
                yield from (_runs(mask) for mask in track.prompted.values())
                yield from (_runs(prompt.outline) for prompt in track.prompts if prompt.outline is not None)
        for offer in self.offers.values():
            if id(offer) not in known:
                yield from (_runs(mask) for mask in offer.masks)

    def _ids(self) -> set[int]:
        whole = (*self.segmentation.objects, *self.tracks.values(), *self.offers.values())
        return {id(part) for part in whole}


ENTRY_BYTES: Final = 200  # of one frame in a mapping: key, value and the place for them


def _runs(mask: Rle) -> tuple[object, int]:
    return mask, mask.counts.nbytes + ENTRY_BYTES


def object_record(one: SegmentedObject, track: ObjectTrack, scan: Scan) -> ObjectRecord:
    """What the manifest says of one object."""
    size = rounded(one.area * scan.grid.voxel_volume, 3)
    return ObjectRecord(
        name=one.name,
        label=one.label,
        frames=len(one.frames),
        pixels=one.area,
        volume_mm3=size if scan.kind is ScanKind.VOLUME and scan.grid.placement is not Placement.PIXELS else None,
        confidence={frame: round(score, 4) for frame, score in sorted(one.scores.items())},
        prompted=sorted(track.prompted),
        ended=dict(sorted(track.ended.items())),
        warnings=dict(sorted(track.warnings.items(), key=lambda pair: (one.scores.get(pair[0], 0.0), pair[0]))),
    )
