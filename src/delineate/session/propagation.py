"""Following in a session: what is left to follow, frame by frame, and what of it can be put down so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.prompt_log import Propagate
from delineate.core.propagation_options import MemoryRule
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.predictors.capabilities import Propagation as FollowsBy
from delineate.predictors.frame_predictor import Features, FramePredictor
from delineate.session.journal import Journal
from delineate.session.state import FollowedFrom, ObjectTrack, SessionState
from delineate.tracking.guards import GuardSettings
from delineate.tracking.propagate import Anchor, Direction, Followed, VisitedFrame, propagate, territories

BLOCK: Final = 16  # frames between two states that are put down: each copies a table of all frames


@dataclass(frozen=True)
class PropagatedFrame:
    """A frame that structures were followed to.

    done, total  frames that are done and frames in all, both ways counted
    """

    frame: int
    done: int
    total: int


@dataclass(eq=False)
class _Reach:
    """How far an outline has been followed: the frames ``first`` to ``stop`` (excluded).

    source  the prompted frame it comes from; the anchor's own, or where an earlier propagation began
    told    the frames that are in the state already
    """

    anchor: Anchor
    source: int
    first: int
    stop: int

    def __post_init__(self) -> None:
        self.told = range(self.first, self.stop)

    def pass_by(self, frame: int, direction: Direction) -> None:
        if direction is Direction.FORWARD and self.anchor.frame <= frame < self.anchor.stop:
            self.stop = max(self.stop, frame + 1)
        elif direction is Direction.BACKWARD and self.anchor.first <= frame <= self.anchor.frame:
            self.first = min(self.first, frame)

    def end(self, *directions: Direction) -> None:
        """There is nothing more to find that way."""
        if Direction.FORWARD in directions:
            self.stop = max(self.stop, self.anchor.stop)
        if Direction.BACKWARD in directions:
            self.first = min(self.first, self.anchor.first)

    @property
    def news(self) -> list[int]:
        """Frames that are not in the state yet."""
        return [frame for frame in range(self.first, self.stop) if frame not in self.told]


class PropagationRun:
    """One ``Propagate`` event as it is done: only what no earlier one did is followed.

    state    as it was begun with, and with all that ``state_so_far`` has put down since
    visited  frames followed so far
    put_down  the event as the session's log has it by now; None while it is not there

    Raises PromptError where there is nothing to follow, or an object is locked.
    """

    def __init__(
        self,
        scan: Scan,
        predictor: FramePredictor,
        guards: GuardSettings,
        state: SessionState,
        event: Propagate,
        encode: Callable[[Frame], Features] | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._journal = journal
        self._frames = len(scan)
        self.state, self.event = state, event
        self.visited = 0
        self.finished = False
        self.put_down: Propagate | None = None
        names = event.objects or tuple(o.name for o in state.segmentation.objects if not o.locked)
        self._reaches: list[_Reach] = []
        remembers = predictor.capabilities.follows is FollowsBy.MEMORY
        self._remembers = remembers and event.following.memory is not MemoryRule.CHAIN
        self._asks = self._remembers and not event.following.outlines
        follows = predictor.capabilities.follows is not None  # else all frames are outlined already
        if not follows:
            event.following.require_plain(predictor.record.name)
        for name in names:
            state.segmentation.changeable(name)
            self._reaches += self._open(name, state.tracks[name]) if follows else []
        if follows and not any(state.tracks[name].prompted for name in names):
            raise PromptError(
                "E-PROPAGATE-NOTHING", "There is no outline to follow yet.", "Point at a structure on one frame first."
            )
        self._found: list[tuple[Followed, Rle | None]] = []
        anchors = [reach.anchor for reach in self._reaches]
        context = self._context(dict.fromkeys(anchor.name for anchor in anchors)) if self._remembers else ()
        where = (None, None) if journal is None else (journal.sweep, journal.position)
        self._steps = propagate(scan, predictor, anchors, guards, event.following, encode, context, *where)

    @property
    def record(self) -> Propagate:
        """The event, and how far it has come: doing it again ends where this has."""
        return self.event.model_copy(update={"stopped_after": None if self.finished else self.visited})

    @property
    def complete(self) -> bool:
        """Whether it came to its end, and the session holds all of it."""
        return self.put_down is not None and self.put_down.stopped_after is None

    def frames(self) -> Iterator[PropagatedFrame]:
        """Follow to the end, or to where the event says that it was stopped."""
        for visited in self._visits():
            self._take(visited)
            yield PropagatedFrame(visited.frame, visited.done, visited.total)
            if self.visited == self.event.stopped_after:
                return
        self.finished = True
        if self._journal is not None:
            self._journal.finished = True
        for reach in self._reaches:
            reach.end(*Direction)

    def _visits(self) -> Iterator[VisitedFrame]:
        """The frames an earlier run visited, then those that are left."""
        if self._journal is None:
            yield from self._steps
            return
        yield from (record.visited for record in tuple(self._journal.visited))
        if not self._journal.finished:
            for visited in self._steps:
                self._journal.add(visited)
                yield visited

    def state_so_far(self) -> SessionState:
        """The state with all that was followed so far."""
        for name in dict.fromkeys(reach.anchor.name for reach in self._reaches):
            self.state = self._with_followed(name, [reach for reach in self._reaches if reach.anchor.name == name])
        self._found.clear()
        return self.state

    def as_followed(self) -> SessionState:
        """The state as if all had been followed, with the outlines that it holds: for what an earlier run did."""
        self.finished, state = True, self.state
        for reach in self._reaches:
            reach.end(*Direction)
        for name in dict.fromkeys(reach.anchor.name for reach in self._reaches):
            track, own = state.tracks[name], [reach for reach in self._reaches if reach.anchor.name == name]
            state = state.with_track(name, replace(track, followed=self._ranges(track, own)))
        return state

    def _open(self, name: str, track: ObjectTrack) -> list[_Reach]:
        """Where an object is followed from: outlines that were not followed yet, or how far that came."""
        event, directions = self.event, self.event.following.directions
        limited = event.first is not None or event.stop is not None  # by a person: that counts more than a box
        low, high = (None if limited else track.span) or (0, self._frames)
        first = max(low, event.first or 0)
        stop = min(high, self._frames if event.stop is None else event.stop)
        reaches = []
        outlined = [frame for frame, mask in track.prompted.items() if mask.area]
        for frame, (start, end) in territories(outlined, first, stop, directions).items():
            outline, words = track.prompted[frame], track.words(frame)
            done = track.followed.get(frame)
            if done is None or not done.is_from(outline, event.following):
                reaches.append(_Reach(self._anchor(name, track, frame, start, end), frame, frame, frame + 1))
                continue
            masks = {**self.state.segmentation[name].masks, frame: outline}
            ahead = self._edge(masks, range(done.stop - 1, frame, -1), frame) if done.stop < end else None
            behind = self._edge(masks, range(done.first, frame), frame) if start < done.first else None
            for edge in sorted({ahead, behind} - {None}):  # type: ignore[type-var]
                assert edge is not None
                left, right = (start if edge == behind else edge), (end if edge == ahead else edge + 1)
                sure = self._sureness(name, edge)
                anchor = Anchor(name, edge, masks[edge].decode(), left, right, words, score=sure)
                known = (edge if edge == behind else done.first, edge + 1 if edge == ahead else done.stop)
                reaches.append(_Reach(anchor, frame, *known))
        return reaches

    def _context(self, names: Iterable[str]) -> tuple[Anchor, ...]:
        """Every prompted frame of the structures that have several: a memory knows them all, wherever it follows."""
        context: list[Anchor] = []
        for name in names:
            track = self.state.tracks[name]
            outlined = [frame for frame, mask in sorted(track.prompted.items()) if mask.area]
            if len(outlined) > 1:
                context += [self._anchor(name, track, frame, frame, frame + 1) for frame in outlined]
        return tuple(context)

    def _anchor(self, name: str, track: ObjectTrack, frame: int, start: int, end: int) -> Anchor:
        """A prompted frame to follow from, and what was asked on it where the outline is still the answer to that."""
        queries = track.queries(frame) if self._asks and frame not in track.edited else ()
        outline, sure = track.prompted[frame].decode(), self._sureness(name, frame)
        return Anchor(name, frame, outline, start, end, track.words(frame), queries, sure)

    @staticmethod
    def _edge(masks: dict[int, Rle], frames: range, source: int) -> int:
        """The first of the frames with an outline to go on from; the source where there is none."""
        return next((frame for frame in frames if frame in masks and masks[frame].area), source)

    def _take(self, visited: VisitedFrame) -> None:
        found: list[tuple[Followed, Rle | None]] = []
        for one in visited.followed:
            mask = one.step.mask & ~self.state.segmentation.locked_pixels(one.frame, except_for=one.name)
            light = replace(one, step=replace(one.step, mask=mask[:0]))
            found.append((light, Rle.encode(mask) if mask.any() else None))
        self.visited += 1
        self._found += found
        for reach in self._reaches:
            reach.pass_by(visited.frame, visited.direction)
        for one in visited.followed:
            if one.ended:
                for reach in self._reaches:
                    if (reach.anchor.name, reach.anchor.frame) == (one.name, one.anchor):
                        reach.end(one.direction)

    def _with_followed(self, name: str, reaches: list[_Reach]) -> SessionState:
        state, track = self.state, self.state.tracks[name]
        steps = [(one, rle) for one, rle in self._found if one.name == name]
        cleared = {frame for reach in reaches for frame in reach.news if frame not in track.prompted}
        masks: dict[int, Rle | None] = dict.fromkeys(cleared)
        masks |= {one.frame: rle for one, rle in steps}
        scores = {one.frame: one.step.confidence for one, _ in steps if not one.step.lost}
        warnings = {f: w for f, w in track.warnings.items() if f not in cleared}
        warnings |= {one.frame: ", ".join(one.step.drift) for one, _ in steps if one.step.drift and not one.ended}
        ended = {f: d for f, d in track.ended.items() if f not in cleared}
        ended |= {one.frame: one.direction.value for one, _ in steps if one.ended}
        track = replace(track, followed=self._ranges(track, reaches), warnings=warnings, ended=ended)
        segmentation = state.segmentation.with_masks(name, masks, scores)
        return replace(state, segmentation=segmentation).with_track(name, track)

    def _sureness(self, name: str, frame: int) -> float:
        """How sure an outline is that is followed from: what follows from it is no surer."""
        return self.state.segmentation[name].scores.get(frame, 1.0)

    def _ranges(self, track: ObjectTrack, reaches: list[_Reach]) -> dict[int, FollowedFrom]:
        """What has been followed from each outline by now; a frame belongs to the outline it was followed from last."""
        followed = dict(track.followed)
        for source in dict.fromkeys(reach.source for reach in reaches if reach.news or self.finished):
            own = [reach for reach in reaches if reach.source == source]
            first, stop = min(reach.first for reach in own), max(reach.stop for reach in own)
            others = {frame: done for frame, done in followed.items() if not first <= frame < stop}
            followed = {frame: done.without(first, stop, frame) for frame, done in others.items()}
            followed[source] = FollowedFrom(track.prompted[source], first, stop, self.event.following)
        for reach in reaches:
            reach.told = range(reach.first, reach.stop)
        return followed
