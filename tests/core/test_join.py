"""Prompts of one object gathered by frame: as if each were joined to those before it, however many there are."""

from __future__ import annotations

import cProfile
import pstats

import numpy as np
import pytest

from delineate.core.prompts import Box, Lasso, Point, Prompt
from delineate.core.resolve import BOX_TWICE, FramePrompts, ResolvedPrompt, join
from delineate.core.scan import Scan
from delineate.session import Session

from bright_predictor import BrightPredictor  # isort: skip


def one_after_the_other(given: list[FramePrompts]) -> FramePrompts:
    """What joining means: every prompt takes pixels from those before it."""
    points, labels = given[0].points, given[0].labels
    box, mask, text = given[0].box, given[0].mask, given[0].text
    for later in given[1:]:
        pixels = {tuple(at) for at in np.round(later.points).tolist()}
        keep = np.array([tuple(at) not in pixels for at in np.round(points).tolist()], bool)
        points, labels = np.concatenate([points[keep], later.points]), np.concatenate([labels[keep], later.labels])
        box = box if later.box is None else later.box
        mask = mask if later.mask is None else later.mask
        text = text if later.text is None else later.text
    return FramePrompts(points, labels, box, mask, text)


@pytest.mark.parametrize("seed", range(40))
def test_joining_all_at_once_is_joining_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given = []
    for _ in range(rng.integers(1, 12)):
        count = rng.integers(0, 6)
        given.append(
            FramePrompts(
                rng.integers(0, 6, (count, 2)) + rng.choice([0, 0.5, -0.5, 0.2], (count, 2)),
                rng.random(count) > 0.5,
                (0.0, 0.0, float(rng.integers(1, 9)), 5.0) if rng.random() > 0.7 else None,
                rng.random((6, 6)) > 0.5 if rng.random() > 0.7 else None,
                "liver" if rng.random() > 0.7 else None,
            )
        )
    expected = one_after_the_other(given)
    frames, notices = join([ResolvedPrompt(3, one) for one in given])
    for name in ("points", "labels", "box", "mask", "text"):
        found, wanted = getattr(frames[3], name), getattr(expected, name)
        assert np.array_equal(found, wanted) if isinstance(wanted, np.ndarray) else found == wanted, name
    twice = len(expected.points) < sum(len(one.points) for one in given)
    assert ("W-POINT-TWICE" in {notice.code for notice in notices}) == twice


def test_many_clicks_on_one_frame_are_replayed_in_proportion() -> None:
    """n clicks are n questions of up to n points: for four times the clicks at most sixteen times the calls."""
    pixels = np.full((64, 64), 180, np.uint8)

    def calls(clicks: int) -> int:
        session, rng = Session(Scan.from_image(pixels), BrightPredictor()), np.random.default_rng(0)
        session.prompt(Point(1, 1), "a")
        log = session.log
        events = [
            log.events[0].model_copy(update={"prompt": Point(*at), "new": log.events[0].new if n == 0 else None})  # type: ignore[union-attr]
            for n, at in enumerate(rng.uniform(0, 63, (clicks, 2)))
        ]
        log = log.model_copy(update={"events": tuple(events), "done": len(events)})
        with cProfile.Profile() as profile:
            Session.replay(Scan.from_image(pixels), log, BrightPredictor())
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    calls(5)
    assert calls(200) < 16 * calls(50)


CORNERS = ((1.0, 1.0), (9.0, 1.0), (9.0, 9.0))


@pytest.mark.parametrize(
    ("prompts", "told"),
    [
        pytest.param([Box(1, 1, 9, 9, frame=3), Box(2, 2, 8, 8, frame=3)], True, id="one frame"),
        pytest.param([Box(1, 1, 3, 9, 9, 4), Box(2, 2, 3, 8, 8, 4)], True, id="the same slices"),
        pytest.param([Box(1, 1, 3, 9, 9, 4), Box(2, 2, 8, 8, frame=3)], True, id="in both ways"),
        pytest.param([Box(1, 1, 9, 9, frame=3), Box(2, 2, 8, 8, frame=4)], False, id="two frames"),
        pytest.param([Box(1, 1, 9, 9, frame=3), Point(2, 2, frame=3)], False, id="one box"),
        pytest.param([Box(1, 1, 9, 9, frame=3), Lasso(points=CORNERS, frame=3)], False, id="a line around"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_two_boxes_of_one_structure_on_one_frame_are_told(prompts: list[Prompt], told: bool, together: bool) -> None:
    session = Session(Scan.from_volume(np.full((12, 12, 6), 50, np.int16)), BrightPredictor())
    session.prompt_all(prompts, "a", one_by_one=not together)
    session.prompt(Box(1, 1, 5, 5, frame=3), "b")
    assert (BOX_TWICE in session.notices) == told
