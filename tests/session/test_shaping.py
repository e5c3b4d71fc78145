"""Cleaning in a session is an event: undone, replayed, revived; what is followed goes on from what it left."""

from __future__ import annotations

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.clean_steps import CleanSteps
from delineate.core.errors import InputError, PromptError
from delineate.core.grid import Grid
from delineate.core.prompt_log import PromptLog
from delineate.core.prompts import Box, Lasso, Point
from delineate.core.scan import Scan
from delineate.outlines.clean import clean
from delineate.session import Session
from delineate.session.restoring import restored_session

FRAMES = 7


def bar() -> Scan:
    """A bright bar with a hole in it through all slices, and a speck beside it."""
    voxels = np.full((40, 30, FRAMES), 10, np.int16)
    voxels[8:22, 6:20], voxels[30:32, 24:26] = 200, 200
    voxels[13:15, 11:13] = 10
    return Scan.from_volume(voxels, Grid(voxels.shape, np.diag([1.0, 1.5, 3.0, 1.0])))


def followed() -> Session:
    """Bar and speck as one structure, followed to all slices."""
    session = Session(bar(), BrightPredictor())
    session.prompt(Box(5, 5, 34, 28, frame=3), "bar")
    session.propagate()
    return session


@pytest.mark.parametrize(
    "steps",
    [
        CleanSteps(largest=True),
        CleanSteps(holes_in_slices=True),
        CleanSteps(smooth=2.0),
        CleanSteps(largest=True, grow=2.0),
    ],
    ids=["largest", "holes", "smooth", "largest and grow"],
)
def test_a_session_cleans_as_the_verb_does_undone_and_replayed(steps: CleanSteps) -> None:
    session = followed()
    before = session.segmentation
    session.clean("bar", steps)
    after = session.segmentation.label_map()
    assert np.array_equal(after, clean(before, steps).label_map())
    assert not np.array_equal(after, before.label_map())
    assert session.segmentation["bar"].scores == before["bar"].scores
    log = PromptLog.parse(session.log.to_json())
    assert log == session.log
    assert np.array_equal(Session.replay(bar(), log, BrightPredictor()).segmentation.label_map(), after)
    session.undo()
    assert np.array_equal(session.segmentation.label_map(), before.label_map())
    session.redo()
    assert np.array_equal(session.segmentation.label_map(), after)


def test_what_was_cleaned_is_followed_no_more_and_what_is_left_from_it() -> None:
    session = Session(bar(), BrightPredictor())
    session.prompt(Box(5, 5, 34, 28, frame=3), "bar")
    session.propagate(stop=5)
    session.clean("bar", CleanSteps(largest=True))
    kept = dict(session.segmentation["bar"].masks)
    session.propagate()
    masks = session.segmentation["bar"].masks
    assert sorted(masks) == list(range(FRAMES))
    assert all(masks[frame] == mask for frame, mask in kept.items())
    assert not masks[6].decode()[24:26, 30:32].any()  # the speck is not there beyond


def test_a_session_is_revived_from_its_log_and_what_it_wrote() -> None:
    session = followed()
    session.clean("bar", CleanSteps(largest=True))
    manifest = session.manifest()
    again = restored_session(bar(), session.log, session.segmentation, manifest.objects, BrightPredictor())
    assert np.array_equal(again.segmentation.label_map(), session.segmentation.label_map())
    again.undo()
    session.undo()
    assert np.array_equal(again.segmentation.label_map(), session.segmentation.label_map())


def test_a_click_corrects_what_was_cleaned() -> None:
    session = followed()
    session.clean("bar", CleanSteps(largest=True))
    session.prompt(Point(31, 25, frame=3), "bar")
    assert session.segmentation.mask("bar", 3)[25, 31] and session.segmentation.mask("bar", 3)[7, 9]


def _locked() -> Session:
    session = followed()
    session.lock("bar")
    return session


def _thin() -> Session:
    session = Session(bar(), BrightPredictor())
    session.prompt(Lasso(points=((30, 24), (31, 24), (31, 25)), frame=0), "speck")
    return session


@pytest.mark.parametrize(
    ("session", "name", "code"),
    [(_locked, "bar", "E-OBJECT-LOCKED"), (_thin, "speck", "E-CLEAN-EMPTY"), (followed, "liver", "E-OBJECT-UNKNOWN")],
)
def test_what_cannot_be_cleaned_is_told_and_changes_nothing(session, name: str, code: str) -> None:
    session = session()
    log = session.log
    with pytest.raises(PromptError) as refused:
        session.clean(name, CleanSteps(shrink=5.0))
    assert refused.value.code == code and session.log is log


def test_an_amount_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="not above 0"):
        CleanSteps(smooth=0.0)


def test_a_drawn_outline_and_its_cleaned_form_lead_to_the_same_shapes_between() -> None:
    session = Session(bar(), BrightPredictor())
    for frame in (0, 6):
        session.prompt(Lasso(points=((8, 6), (21, 6), (21, 19), (8, 19)), frame=frame), "bar")
    session.interpolate("bar")
    assert sorted(session.segmentation["bar"].masks) == list(range(FRAMES))
    again = Session.replay(bar(), session.log, BrightPredictor())
    assert np.array_equal(again.segmentation.label_map(), session.segmentation.label_map())
