"""Outlines on a few frames carried to all the others.

Every frame is followed from the outline nearest to it, in two sweeps over the scan: forwards from each outline to
the middle before the next one, then backwards. So a new outline changes only the frames that are nearest to it.
One frame is in memory at a time; what a video keeps so that it can be read backwards is its reader's affair.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.core.propagation_options import Directions, PropagationOptions
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan, ScanKind
from delineate.predictors.frame_predictor import Features, FramePredictor
from delineate.tracking.guards import GuardSettings
from delineate.tracking.resuming import SweepPosition, SweepRecord, take_up
from delineate.tracking.tracker import Step, Tracker
from delineate.tracking.trackers import tracker_for

PATIENCE = {ScanKind.VOLUME: 1, ScanKind.VIDEO: None, ScanKind.IMAGE: 0}  # lost frames before giving up; None = never


class Direction(StrEnum):
    FORWARD = "forward"
    BACKWARD = "backward"


@dataclass(frozen=True, eq=False)
class Anchor:
    """An outline to follow from, and the frames ``first`` to ``stop`` (excluded) it answers for.

    words    it came from
    queries  that gave it, one after the other, for a tracker to ask again and remember; none: it is given the outline
    score    how sure the outline is, 0 to 1
    """

    name: str
    frame: int
    mask: NDArray[np.bool_]
    first: int
    stop: int
    words: str | None = None
    queries: tuple[FramePrompts, ...] = ()
    score: float = 1.0


@dataclass(frozen=True, eq=False)
class Followed:
    """One structure on one frame, as it was followed there."""

    name: str
    frame: int
    anchor: int
    direction: Direction
    step: Step
    ended: bool = False  # the structure ends here: frames further on were not looked at


@dataclass(frozen=True, eq=False)
class VisitedFrame:
    """A frame that was visited on the way, and every structure as it was followed there.

    done, total  frames that are done and frames in all, both ways counted
    """

    frame: int
    direction: Direction
    followed: tuple[Followed, ...]
    done: int
    total: int


def territories(
    frames: Sequence[int], first: int, stop: int, directions: Directions = Directions.BOTH
) -> dict[int, tuple[int, int]]:
    """For each outlined frame the range (first, stop) of frames nearest to it, within ``first`` to ``stop``.

    In one direction: the frames from it to the next outlined one.
    """
    ordered = sorted(f for f in frames if first <= f < stop)
    if not ordered:
        return {}
    if directions is Directions.FORWARD:
        return {frame: (frame, after) for frame, after in zip(ordered, [*ordered[1:], stop], strict=True)}
    if directions is Directions.BACKWARD:
        before = [first, *(frame + 1 for frame in ordered[:-1])]
        return {frame: (start, frame + 1) for frame, start in zip(ordered, before, strict=True)}
    cuts = [first, *((a + b) // 2 + 1 for a, b in pairwise(ordered)), stop]
    return {frame: (cuts[n], cuts[n + 1]) for n, frame in enumerate(ordered)}


def propagate(
    scan: Scan,
    predictor: FramePredictor,
    anchors: Sequence[Anchor],
    guards: GuardSettings | None = None,
    following: PropagationOptions | None = None,
    encode: Callable[[Frame], Features] | None = None,
    context: Sequence[Anchor] = (),
    resumed: SweepRecord | None = None,
    position: SweepPosition | None = None,
) -> Iterator[VisitedFrame]:
    """Follow every anchor through its frames, forwards and then backwards; anchors' own frames are not repeated.

    following  how; ``directions`` is in the anchors' ranges already
    encode     the predictor's ``encode``, by way of where encoded frames are kept
    context    every prompted frame of structures that have several, for a tracker that remembers them all beforehand
    resumed    where an earlier run stood: only what comes after is visited
    position   kept up to date with where this run stands

    Raises PromptError, before anything is followed, for a way of following the predictor does not have.
    """
    how = following or PropagationOptions()
    if how.reset is None:
        how = how.model_copy(update={"reset": predictor.capabilities.resets})
    make = partial(tracker_for, predictor, guards or GuardSettings(), how, len(scan), encode)
    return _visited(scan, anchors, how, make(), make, context, resumed, position or SweepPosition())


def _visited(
    scan: Scan,
    anchors: Sequence[Anchor],
    how: PropagationOptions,
    tracker: Tracker,
    make: Callable[[], Tracker],
    context: Sequence[Anchor],
    resumed: SweepRecord | None,
    position: SweepPosition,
) -> Iterator[VisitedFrame]:
    sweeps = [(direction, *_span(anchors, direction)) for direction in Direction]
    total = sum(max(0, stop - first) for _, first, stop in sweeps)
    done, forgetting = 0, bool(how.reset) and not context
    by_frame = {(a.frame, a.name): a for a in anchors}
    _remember(tracker, scan, context)
    for direction, first, stop in sweeps:
        if resumed is not None and direction.value != resumed.direction:  # an earlier run has done it
            done += max(0, stop - first)
            continue
        if direction is Direction.BACKWARD and how.reset and stop > first:
            tracker = make()
            _remember(tracker, scan, context)
        sweep = _Sweep(tracker, direction, by_frame, PATIENCE[scan.kind], forgetting)
        left = (first, stop)
        if resumed is not None:
            take_up(tracker, resumed, scan)
            sweep.take_up(resumed)
            left = (resumed.frame + 1, stop) if direction is Direction.FORWARD else (first, resumed.frame)
            resumed = None
        for index, frame in _frames(scan, *left, direction, sweep.waits_until):
            followed = tuple(sweep.visit(index, frame))
            sweep.tell(position, index)
            far = index - first + 1 if direction is Direction.FORWARD else stop - index
            yield VisitedFrame(index, direction, followed, done + far, total)
        sweep.end()
        done += max(0, stop - first)


def _remember(tracker: Tracker, scan: Scan, context: Sequence[Anchor]) -> None:
    """Have a tracker know prompted frames before it follows anything."""
    for index in sorted({anchor.frame for anchor in context}):
        tracker.push(scan.frame(index))
        for anchor in context:
            if anchor.frame == index:
                _ask(tracker, anchor)
                tracker.suspend(anchor.name)


def _ask(tracker: Tracker, anchor: Anchor) -> None:
    """Point at a structure on the frame pushed last, as it was prompted."""
    for query in anchor.queries or (FramePrompts(mask=anchor.mask, text=anchor.words),):
        tracker.add(anchor.name, query, anchor.score)


def _span(anchors: Sequence[Anchor], direction: Direction) -> tuple[int, int]:
    """The frames a sweep has to visit."""
    if direction is Direction.FORWARD:
        moving = [a for a in anchors if a.stop > a.frame + 1]
        return (min((a.frame for a in moving), default=0), max((a.stop for a in moving), default=0))
    moving = [a for a in anchors if a.first < a.frame]
    return (min((a.first for a in moving), default=0), max((a.frame + 1 for a in moving), default=0))


@dataclass
class _Sweep:
    """One pass over the frames in one direction."""

    tracker: Tracker
    direction: Direction
    anchors: Mapping[tuple[int, str], Anchor]
    patience: int | None
    forgetting: bool = True  # between two outlines of a structure
    _following: dict[str, Anchor] = field(default_factory=dict)
    _missed: dict[str, int] = field(default_factory=dict)

    def waits_until(self, index: int) -> int:
        """The next frame worth visiting: this one while something is followed, else that of the next anchor."""
        if self._following:
            return index
        frames = [frame for (frame, _), anchor in self.anchors.items() if self._leads_on(anchor)]
        if self.direction is Direction.FORWARD:
            return min((f for f in frames if f >= index), default=sys.maxsize)
        return max((f for f in frames if f <= index), default=-1)

    def visit(self, index: int, frame: Frame) -> Iterator[Followed]:
        for name, anchor in list(self._following.items()):
            if not anchor.first <= index < anchor.stop or (index, name) in self.anchors:
                self._let_go(name)
        for name, step in self.tracker.push(frame, self.direction is Direction.BACKWARD).items():
            yield self._followed(name, index, step)
        for name in [n for n in self._following if self._gave_up(n)]:
            self._let_go(name)
        for (at, name), anchor in self.anchors.items():
            if at == index and self._leads_on(anchor):
                self._start(anchor)
                self._following[name], self._missed[name] = anchor, 0

    def take_up(self, record: SweepRecord) -> None:
        """Go on where an earlier sweep stood."""
        for name, one in record.structures.items():
            self._following[name], self._missed[name] = self.anchors[one.anchor, name], one.missed

    def tell(self, position: SweepPosition, index: int) -> None:
        """Put down where the sweep stands after a frame."""
        position.tracker, position.direction, position.frame = self.tracker, self.direction.value, index
        position.following = {name: anchor.frame for name, anchor in self._following.items()}
        position.missed = dict(self._missed)

    def end(self) -> None:
        """Let everything go, so that the tracker can be taken the other way."""
        for name in list(self._following):
            self._let_go(name)

    def _start(self, anchor: Anchor) -> None:
        """Have the tracker follow from an anchor on the present frame."""
        if not self.forgetting and self.tracker.resume(anchor.name, anchor.mask, anchor.score):
            return
        _ask(self.tracker, anchor)

    def _leads_on(self, anchor: Anchor) -> bool:
        """Whether the anchor answers for frames in this direction."""
        return anchor.stop > anchor.frame + 1 if self.direction is Direction.FORWARD else anchor.first < anchor.frame

    def _followed(self, name: str, index: int, step: Step) -> Followed:
        self._missed[name] = self._missed[name] + 1 if step.lost else 0
        return Followed(name, index, self._following[name].frame, self.direction, step, self._gave_up(name))

    def _gave_up(self, name: str) -> bool:
        return self.patience is not None and self._missed[name] > self.patience

    def _let_go(self, name: str) -> None:
        (self.tracker.remove if self.forgetting else self.tracker.suspend)(name)
        del self._following[name]


def _frames(
    scan: Scan, first: int, stop: int, direction: Direction, waits_until: Callable[[int], int]
) -> Iterator[tuple[int, Frame]]:
    """Frames in sweep order, one at a time, skipping those nobody waits for."""
    if direction is Direction.FORWARD:
        index = first
        while index < stop:
            index = max(index, waits_until(index))
            if index < stop:
                yield index, scan.frame(index)
            index += 1
        return
    index = stop - 1
    while index >= first:
        index = min(index, waits_until(index))
        if index >= first:
            yield index, scan.frame(index)
        index -= 1
