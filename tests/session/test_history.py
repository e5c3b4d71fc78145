"""History is bounded in bytes, and undo goes back all the way all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.prompts import Lasso, Mask, Point, Prompt
from delineate.core.scan import Scan
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.session import FeatureStore, Session, SessionLimits


class CountingPredictor(BrightPredictor):
    """Tells by its score how many clicks' logits came back, one click's with the next."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    def outlined(self, features: Any, query: Query) -> Candidates:
        self.decoded += 1
        answer = super().outlined(features, query)
        clicks = 1 if query.feedback is None else int(query.feedback[0, 0]) + 1
        logits = np.full((2, 8, 8), clicks, np.float32)
        return replace(answer, logits=logits, scores=np.array([0.01 * clicks, 0.001], np.float32))


def square(side: int = 64) -> Scan:
    pixels = np.zeros((side, side), np.uint8)
    pixels[side // 4 : side // 2, side // 4 : side // 2] = 200
    return Scan.from_image(pixels)


def clicked(count: int, limits: SessionLimits | None = None, features: FeatureStore | None = None) -> Session:
    session = Session(square(), CountingPredictor(), limits=limits, features=features)
    for n in range(count):
        session.prompt(Point(20 + n % 8, 20 + n // 8), "a")
    return session


def score(session: Session) -> float:
    return session.segmentation["a"].scores[0]


LIMITS = [
    pytest.param(SessionLimits(), id="usual"),
    pytest.param(SessionLimits(history_bytes=0), id="no-history"),
    pytest.param(SessionLimits(feature_bytes=0), id="no-store"),
    pytest.param(SessionLimits(0, 0), id="neither"),
    pytest.param(SessionLimits(history_bytes=20_000), id="some-history"),
]


@pytest.mark.parametrize("limits", LIMITS)
def test_every_step_can_be_taken_back_and_done_again(limits: SessionLimits) -> None:
    session = clicked(9, limits)
    for clicks in (8, 7, 6, 5, 4, 3, 2, 1):
        assert session.undo() and score(session) == pytest.approx(0.01 * clicks)
    assert session.undo() and not session.segmentation.objects
    for clicks in range(1, 10):
        assert session.redo() and score(session) == pytest.approx(0.01 * clicks)


@pytest.mark.parametrize("limits", LIMITS)
def test_a_click_after_undo_is_answered_as_in_a_replay(limits: SessionLimits) -> None:
    """What the predictor wants back with a click is there again, though it was let go."""
    session = clicked(5, limits)
    session.undo()
    session.undo()
    session.prompt(Point(30, 30), "a")
    assert score(session) == pytest.approx(0.04)
    again = Session.replay(session.scan, session.log, CountingPredictor())
    assert score(again) == score(session)


def test_history_takes_no_more_than_it_may() -> None:
    session = clicked(60, SessionLimits(history_bytes=30_000))
    history = session._history
    assert history.nbytes <= 30_000 < clicked(60)._history.nbytes
    assert 2 < len(history._states) < 61
    while session.undo():
        assert history.nbytes <= 30_000
    assert not session.segmentation.objects


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(lambda n: Point(300 + n, 300), id="clicks"),
        pytest.param(lambda n: Mask.from_array(np.eye(1024, k=n, dtype=bool)), id="drawn"),
        pytest.param(lambda n: Lasso(points=((300, 300), (300 + n + 9, 300), (300, 330))), id="lassos"),
    ],
)
def test_a_step_is_kept_as_run_lengths(prompt: Callable[[int], Prompt]) -> None:
    """Full-size masks took 3 MB a click at 1024 pixels."""
    session = Session(square(1024), BrightPredictor())
    session.prompt(prompt(0), "a")
    before = session._history.nbytes
    for n in range(1, 5):
        session.prompt(prompt(n), "a")
    assert (session._history.nbytes - before) / 4 < 60_000
    held = [part for state in session._history._states.values() for part, _ in state.parts()]
    assert not any(isinstance(value, np.ndarray) and value.size > 5000 for part in held for value in reachable(part))


def reachable(part: object, depth: int = 3) -> list[object]:
    """The fields of a part, and their fields."""
    names = getattr(part, "__dataclass_fields__", {}) if depth else {}
    fields = [getattr(part, name) for name in names]
    return [part, *(one for field in fields for one in reachable(field, depth - 1))]


def test_logits_are_kept_for_the_newest_click_only() -> None:
    store = FeatureStore()
    one = clicked(1, features=store).scan
    taken = store.nbytes
    for n in range(20):
        Session(one, CountingPredictor(), features=store).prompt(Point(20 + n, 20), "a")
    separate = store.nbytes
    store = FeatureStore()
    clicked(20, features=store)
    assert store.nbytes == taken < separate
