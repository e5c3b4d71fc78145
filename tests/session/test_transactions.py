"""Changes are done as a whole or not at all, one at a time; what is there can be read meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bright_predictor import BrightPredictor
from delineate.core.clean_steps import CleanSteps
from delineate.core.errors import DelineateError, ModelError
from delineate.core.prompt_log import PromptLog, RemoveObject
from delineate.core.prompts import Box, Mask, Point, Text
from delineate.core.scan import Scan
from delineate.session import Session

SPOTS = 12


def spots() -> Scan:
    """Bright squares in a row, on three slices."""
    voxels = np.zeros((20 * SPOTS, 20, 3), np.int16)
    for n in range(SPOTS):
        voxels[20 * n + 5 : 20 * n + 15, 5:15] = 150 + n
    return Scan.from_volume(voxels)


def spot(number: int, frame: int = 1) -> Point:
    return Point(20 * number + 10, 10, frame)


@pytest.fixture
def session() -> Session:
    """One object prompted and locked, another one undone."""
    made = Session(spots(), BrightPredictor())
    made.prompt(spot(0), "first")
    made.lock("first")
    made.prompt(spot(1), "second")
    made.undo()
    return made


REFUSED: list[Any] = [
    pytest.param(lambda s: s.prompt(Point(30, 10, 1, positive=False), "ghost"), id="only-negative"),
    pytest.param(lambda s: s.prompt(Point(30, 10), "ghost"), id="no-slice"),
    pytest.param(lambda s: s.prompt(Point(9999, 10, 1), "ghost"), id="outside"),
    pytest.param(lambda s: s.prompt(Text("liver", frame=1), "ghost"), id="words"),
    pytest.param(lambda s: s.prompt(spot(0), "first"), id="locked"),
    pytest.param(lambda s: s.choose("first", 1, 9), id="no-such-candidate"),
    pytest.param(lambda s: s.choose("ghost", 1, 0), id="no-such-object"),
    pytest.param(lambda s: s.add_object("first"), id="added-twice"),
    pytest.param(lambda s: s.add_object("ghost", label=1), id="label-taken"),
    pytest.param(lambda s: s.remove_object("ghost"), id="removed-unknown"),
    pytest.param(lambda s: s.remove_object("first"), id="removed-locked"),
    pytest.param(lambda s: s.choose("first", 1, 0), id="chosen-locked"),
    pytest.param(lambda s: s.interpolate("first"), id="interpolated-locked"),
    pytest.param(lambda s: s.limit("first", 1, 1), id="limited-locked"),
    pytest.param(lambda s: s.clean("first", CleanSteps(largest=True)), id="cleaned-locked"),
    pytest.param(lambda s: s.lock("ghost"), id="locked-unknown"),
    pytest.param(lambda s: s.propagate(["first"]), id="propagated-locked"),
    pytest.param(lambda s: s.propagate(["ghost"]), id="propagated-unknown"),
]


@pytest.mark.parametrize("refused", REFUSED)
def test_what_is_refused_changes_nothing(session: Session, refused: Callable[[Session], object]) -> None:
    outlines, log = session.segmentation, session.log
    with pytest.raises(DelineateError):
        refused(session)
    assert session.segmentation is outlines and session.log is log
    assert session.redo() and session.segmentation.names == ("first", "second")


def test_a_log_of_before_that_removes_a_locked_object_is_replayed() -> None:
    session = Session(spots(), BrightPredictor())
    session.prompt(spot(0), "first")
    session.lock("first")
    log = session.log.adding(RemoveObject(object="first"))
    assert not Session.replay(spots(), log, BrightPredictor()).segmentation.objects


def test_a_predictor_that_fails_changes_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    outlines, log = session.segmentation, session.log
    monkeypatch.setattr(session.predictor, "decode", lambda *_, **__: 1 / 0)
    with pytest.raises(ModelError, match="bright failed: ZeroDivisionError"):
        session.prompt(spot(2), "ghost")
    assert session.segmentation is outlines and session.log is log and log.can_redo


@pytest.mark.parametrize(
    "prompt",
    [spot(3), Box(60, 0, 80, 20, frame=1), Mask.from_array(np.eye(20, 20 * SPOTS, dtype=bool), frame=1)],
    ids=["click", "box", "mask"],
)
@pytest.mark.parametrize("name", ["new", None], ids=["named", "unnamed"])
def test_an_object_goes_with_the_prompt_that_made_it(prompt: Any, name: str | None) -> None:
    session = Session(spots(), BrightPredictor())
    made = session.prompt(prompt, name).object
    outlines = session.segmentation
    assert session.log.objects == (made,)
    assert session.undo() and not session.segmentation.objects and not session.tracks and not session.undo()
    assert session.redo() and session.segmentation is outlines
    again = Session.replay(session.scan, PromptLog.parse(session.log.to_json()), BrightPredictor())
    assert again.segmentation.objects[0].label == 1 and again.segmentation[made].masks == outlines[made].masks


def test_the_log_cannot_be_written_from_outside(session: Session) -> None:
    log = session.log
    with pytest.raises(ValidationError):
        log.done = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        session.log = PromptLog()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        log.events.append(log.events[0])  # type: ignore[attr-defined]
    session.redo()
    assert log.done == 2 and session.log.done == 3


@pytest.mark.parametrize("done", [-1, 2])
def test_a_log_that_is_past_its_end_is_refused(done: int) -> None:
    with pytest.raises(DelineateError) as caught:
        PromptLog.parse(PromptLog().to_json().replace('"done": 0', f'"done": {done}'))
    assert caught.value.code == "E-PROMPTS-FIELD" and f"done = {done}" in caught.value.message


def test_a_log_that_says_nothing_of_what_is_done_is_done_whole() -> None:
    session = Session(spots(), BrightPredictor())
    session.prompt(spot(0), "spot 0")
    session.prompt(spot(1), "spot 1")
    written = json.loads(session.log.to_json())
    assert written.pop("done") == 2
    log = PromptLog.parse(json.dumps(written))
    assert log == session.log
    assert Session.replay(spots(), log, BrightPredictor()).segmentation.names == ("spot 0", "spot 1")
    assert PromptLog.parse(json.dumps(written | {"done": 0})).done == 0, "all undone"


def test_no_outline_is_lost_where_threads_prompt_one_session() -> None:
    session = Session(spots(), BrightPredictor())
    with ThreadPoolExecutor(SPOTS) as threads:
        results = list(threads.map(lambda n: session.prompt(spot(n), f"spot {n}"), range(SPOTS)))
    assert {one.name: one.area for one in session.segmentation.objects} == {f"spot {n}": 100 for n in range(SPOTS)}
    assert all(result.mask[10, 20 * n + 10] for n, result in enumerate(results))
    assert session.log.done == SPOTS
    again = Session.replay(session.scan, session.log, BrightPredictor())
    assert all(again.segmentation[one.name].masks == one.masks for one in session.segmentation.objects)


class Waiting(BrightPredictor):
    """Encodes when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let = threading.Event(), threading.Event()

    def encode(self, frame: Any) -> Any:
        self.asked.set()
        assert self.let.wait(30)
        return super().encode(frame)


def test_what_is_there_can_be_read_while_a_prompt_is_answered() -> None:
    session = Session(spots(), Waiting())
    session.add_object("a")
    with ThreadPoolExecutor(1) as thread:
        prompted = thread.submit(session.prompt, spot(0), "a")
        assert session.predictor.asked.wait(30)  # type: ignore[attr-defined]
        assert session.segmentation.names == ("a",) and session.log.done == 1
        assert not session.segmentation["a"].masks and not session.tracks["a"].prompts
        assert session.manifest().prompts.done == 1
        session.predictor.let.set()  # type: ignore[attr-defined]
        prompted.result()
    assert session.segmentation["a"].area == 100 and session.log.done == 2
