"""Following in steps: outlines appear as it goes, it can be canceled, gone on with, undone and replayed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.errors import PromptError
from delineate.core.prompt_log import PromptLog, Propagate
from delineate.core.prompts import Mask, Point
from delineate.core.propagation_options import Directions, PropagationOptions
from delineate.core.scan import Scan
from delineate.session import Session
from delineate.session.propagation import BLOCK

DEPTH, START, OTHER = 60, 20, 45
ALL = DEPTH - START + START + 1  # frames visited: the first one both ways


def tube(depth: int = DEPTH) -> Scan:
    """A bright tube that wanders through all slices."""
    voxels = np.zeros((40, 30, depth), np.int16)
    for k in range(depth):
        voxels[5 + k // 4 : 15 + k // 4, 10:22, k] = 200
    return Scan.from_volume(voxels)


def on_tube(frame: int) -> Point:
    return Point(10 + frame // 4, 15, frame)


def begun(predictor: BrightPredictor | None = None) -> Session:
    session = Session(tube(), predictor or BrightPredictor())
    session.prompt(on_tube(START), "tube")
    return session


def stopped(session: Session, after: int, **how: Any) -> None:
    run = session.propagating(**how)
    for n, _ in enumerate(run, 1):
        if n == after:
            run.close()


def masks(session: Session) -> dict[int, Any]:
    return dict(session.segmentation["tube"].masks)


def replayed(session: Session) -> Session:
    return Session.replay(session.scan, PromptLog.parse(session.log.to_json()), BrightPredictor())


@pytest.fixture(scope="module")
def whole() -> dict[int, Any]:
    session = begun()
    assert session.propagate()
    assert len(masks(session)) == DEPTH
    return masks(session)


def test_outlines_appear_while_it_runs_and_the_log_is_true_at_any_time(whole: dict[int, Any]) -> None:
    session, counts = begun(), []
    for step in session.propagating():
        counts.append(len(session.segmentation["tube"].frames))
        if step.done in (BLOCK, 3 * BLOCK + 2):
            assert masks(replayed(session)) == masks(session)
    assert counts == sorted(counts) and counts[BLOCK - 1] == BLOCK and counts[BLOCK - 2] == 1
    assert masks(session) == whole
    assert session.log.events[-1] == Propagate()


def test_progress_is_told_frame_by_frame() -> None:
    session, told = begun(), []
    session.propagate(progress=lambda done, total: told.append((done, total)))
    assert told == [(n, ALL) for n in range(1, ALL + 1)]


CUTS = [1, 2, BLOCK, BLOCK + 1, DEPTH - START - 1, DEPTH - START, DEPTH - START + 5, ALL - 1]


@pytest.mark.parametrize("cut", CUTS)
def test_what_was_followed_before_it_was_canceled_stays_replays_and_is_one_undo(cut: int) -> None:
    session = begun()
    first = session.segmentation
    stopped(session, cut)
    assert len(masks(session)) == max(1, min(cut, DEPTH - START) + max(0, cut - (DEPTH - START) - 1))
    assert session.log.events[-1] == Propagate(stopped_after=cut)
    again = replayed(session)
    assert masks(again) == masks(session) and again.log == session.log
    canceled = masks(session)
    assert session.undo() and session.segmentation is first
    assert session.redo() and masks(session) == canceled


@pytest.mark.parametrize("cut", CUTS)
def test_going_on_does_what_is_left_and_only_that(cut: int, whole: dict[int, Any]) -> None:
    session = begun()
    stopped(session, cut)
    left, visited = DEPTH - len(masks(session)), 0
    for _ in session.propagating():
        visited += 1
    assert masks(session) == whole
    assert visited <= left + 3  # and where it goes on from: once on each side, the prompted frame included
    assert masks(replayed(session)) == whole
    assert not list(session.propagating())


@pytest.mark.parametrize("directions", [Directions.FORWARD, Directions.BACKWARD])
def test_one_direction_goes_on_too(directions: Directions) -> None:
    following, session, straight = PropagationOptions(directions=directions), begun(), begun()
    straight.propagate(following=following)
    stopped(session, 7, following=following)
    session.propagate(following=following)
    assert masks(session) == masks(straight)


def test_a_longer_range_goes_on_where_the_shorter_one_ended(whole: dict[int, Any]) -> None:
    session = begun()
    session.propagate(first=10, stop=30)
    assert set(masks(session)) == set(range(10, 30))
    predictor: Any = session.predictor
    visited = len(list(session.propagating()))
    assert masks(session) == whole and visited == (DEPTH - 29) + 11 and predictor.encoded


def test_a_correction_after_it_was_canceled_is_followed_and_the_rest_too(whole: dict[int, Any]) -> None:
    session = begun()
    stopped(session, 10)
    session.prompt(on_tube(OTHER), "tube")
    session.propagate()
    assert masks(session) == whole
    ranges = {frame: (done.first, done.stop) for frame, done in session.tracks["tube"].followed.items()}
    assert ranges == {START: (0, 33), OTHER: (33, DEPTH)}
    assert masks(replayed(session)) == whole


def test_frames_of_an_outline_that_is_gone_are_followed_from_the_other_one() -> None:
    session = begun()
    session.propagate()
    session.prompt(on_tube(OTHER), "tube")
    session.propagate()
    session.prompt(Mask.from_array(np.ones((30, 40), bool), frame=OTHER), "wall")
    session.lock("wall")
    session.prompt(on_tube(OTHER), "tube")
    assert not session.segmentation["tube"].masks[OTHER].area
    visited = len(list(session.propagating(["tube"])))
    assert visited == DEPTH - 33 + 1
    assert {f: (d.first, d.stop) for f, d in session.tracks["tube"].followed.items()} == {START: (0, DEPTH)}


CHANGES = [
    pytest.param(lambda s: s.prompt(Point(2, 2, 5), "tube"), id="prompt"),
    pytest.param(lambda s: s.lock("tube"), id="lock"),
    pytest.param(lambda s: s.add_object("other"), id="add-object"),
    pytest.param(lambda s: s.propagate(stop=START + 3), id="propagate"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_ends_it_and_keeps_what_it_has_put_down(change: Any) -> None:
    session = begun()
    run = session.propagating()
    for _ in range(BLOCK + 3):
        next(run)
    change(session)
    outlines, log = session.segmentation, session.log
    assert not list(run)
    assert session.segmentation is outlines and session.log is log
    assert log.events[1] == Propagate(stopped_after=BLOCK) and log.done == 3
    assert masks(replayed(session)) == masks(session)


@pytest.mark.parametrize("steps", [0, 3, BLOCK + 3])
def test_undo_ends_it_and_takes_all_of_it_back(steps: int) -> None:
    session = begun()
    before = session.segmentation
    run = session.propagating()
    for _ in range(steps):
        next(run)
    assert session.undo()
    assert not list(run)
    assert session.segmentation is before and session.log.done == 1
    assert session.undo() and not session.segmentation.objects


def test_the_caller_is_told_that_it_did_not_come_to_its_end() -> None:
    session = begun()
    assert session.propagate(stop=30)
    assert not session.propagate(progress=lambda done, _: session.add_object() if done == 3 else None)


class Failing(BrightPredictor):
    def encode(self, frame: Any) -> Any:
        if frame.index == START + 20:
            raise OSError("the disk is gone")
        return super().encode(frame)


def test_an_error_leaves_what_was_followed_until_then() -> None:
    session = begun(Failing())
    with pytest.raises(OSError, match="disk"):
        session.propagate()
    assert set(masks(session)) == set(range(START, START + 20))
    assert masks(replayed(session)) == masks(session)
    session.prompt(on_tube(5), "tube")


def test_what_cannot_be_followed_is_refused_at_once() -> None:
    session = Session(tube(), BrightPredictor())
    session.add_object("tube")
    with pytest.raises(PromptError, match="no outline"):
        session.propagating()
    with pytest.raises(PromptError, match="no memory"):
        begun().propagating(following=PropagationOptions(stride=2))


@pytest.mark.parametrize(
    ("objects", "first", "stop"),
    [
        pytest.param((), 30, 40, id="beyond it"),
        pytest.param((), None, START, id="before it"),
        pytest.param((), 25, 15, id="inverted"),
        pytest.param(("tube", "other"), 0, 30, id="one of those named"),
    ],
)
def test_frames_without_one_to_follow_from_are_refused(objects: tuple[str, ...], first: int | None, stop: int) -> None:
    session = begun()
    if objects:
        session.prompt(on_tube(OTHER), "other")
    before = session.log
    with pytest.raises(PromptError) as caught:
        session.propagate(objects, first=first, stop=stop)
    assert caught.value.code == "E-LIMIT" and session.log == before
    with pytest.raises(PromptError):
        session.propagating(objects, first=first, stop=stop)
    assert session.propagate(first=0, stop=START + 1), "of all objects those are followed that are pointed at there"
