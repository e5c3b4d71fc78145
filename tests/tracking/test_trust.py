"""The confidence of a followed outline: what lowers it, what it never exceeds, and what it was measured to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from conftest import REPOSITORY
from delineate.core.frame import Frame
from delineate.core.prompts import Box
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.session import Session
from delineate.tracking import ChainTracker
from delineate.tracking.guards import DOUBTED
from delineate.tracking.trust import NAMES, Signs, believed, columns, strongest

SEEN = Signs(score=0.95, begun=1.0, distance=1, size=1.0, jump=1.0, place=0.0, look=0.0, contrast=1.0)


@pytest.mark.parametrize(
    ("sign", "values"),
    [
        ("distance", (1, 3, 10, 30, 64)),
        ("size", (1.0, 1.5, 3.0)),
        ("place", (0.0, 0.3, 0.7)),
        ("look", (0.0, 1.0, 3.0)),
        ("contrast", (1.0, 0.5, 0.1)),
        ("score", (0.95, 0.8, 0.3)),
        ("begun", (1.0, 0.8, 0.3)),
    ],
)
def test_what_lowers_it(sign: str, values: tuple[float, ...]) -> None:
    said = believed([replace(SEEN, **{sign: value}) for value in values])
    assert (np.diff(said) < 0).all(), said


def test_no_surer_than_what_it_was_followed_from() -> None:
    assert believed([replace(SEEN, begun=0.2, score=1.0)])[0] <= 0.2
    assert 0 <= believed([Signs(0.0, 0.0, 10**6, 1e9, 1e9, 1e9, 1e9, 0.0)])[0] < 0.05
    assert columns([tuple(vars(SEEN).values())]).shape == (1, len(NAMES))


def test_a_tool_that_has_become_something_else_is_not_said_to_be_sure() -> None:
    """The model is as sure as ever; the outline stands elsewhere, is larger, and so many frames have passed."""
    liver = replace(SEEN, score=0.97, begun=0.8, distance=19, size=2.5, place=0.9, look=0.8)
    assert believed([liver])[0] < DOUBTED and strongest(liver) in ("distance", "place", "size")


def test_a_tracker_says_it_and_why() -> None:
    frame = np.zeros((64, 64), np.uint8)
    frame[20:30, 5:15] = 200
    tracker = ChainTracker(BrightPredictor())
    tracker.push(Frame.of(frame))
    tracker.add("tool", FramePrompts(mask=frame > 0), score=0.6)
    said = []
    for n in range(1, 40):
        step = tracker.push(Frame.of(np.roll(frame, n, axis=1)))["tool"]
        said.append(step.confidence)
        assert step.signs is not None and step.signs.distance == n and step.signs.begun == 0.6
    assert max(said) <= 0.6 and said[-1] < said[0] and said[-1] < DOUBTED
    assert step.drift, "what lowered it is said"


def test_a_session_goes_on_no_surer_from_where_it_stopped() -> None:
    frames = np.zeros((12, 48, 48), np.uint8)
    for n in range(12):
        frames[n, 15:25, 5 + 2 * n : 15 + 2 * n] = 200
    session = Session(Scan.from_frames(frames), BrightPredictor())
    session.prompt(Box(4, 14, 16, 26, frame=0), "tool")
    session.propagate(stop=6)
    session.propagate()
    scores = session.segmentation["tool"].scores
    assert max(scores[n] for n in range(6, 12)) <= scores[5] < scores[1] <= scores[0]


def test_the_page_has_what_was_measured() -> None:
    text = Path(REPOSITORY, "docs/reference/quality.md").read_text()
    table = text.partition("<!-- followed -->")[2].partition("<!-- /followed -->")[0]
    (row,) = [line for line in table.splitlines() if line.startswith("| all |")]
    before, now = (float(cell) for cell in row.split("|")[6:8])
    assert now < before / 3, "the calibration error, with every data set left out of the fit that judges it"
