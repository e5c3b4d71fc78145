"""A session: prompts answered, objects kept apart, everything undone and replayed."""

from __future__ import annotations

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.errors import PromptError
from delineate.core.grid import Grid
from delineate.core.prompt_log import PromptLog
from delineate.core.prompts import Box, Mask, Point, Text
from delineate.core.scan import Scan
from delineate.session import Session


def tube_volume(depth: int = 20) -> Scan:
    """Two bright tubes along the slice axis; the first one ends at slice 13."""
    voxels = np.zeros((40, 50, depth), dtype=np.int16)
    for k in range(depth):
        if 3 <= k <= 13:
            voxels[8 + k // 4 : 18 + k // 4, 10:22, k] = 200
        voxels[25:35, 30:42, k] = 220
    return Scan.from_volume(voxels, Grid(voxels.shape, np.diag([1.0, 1.0, 3.0, 1.0])))


@pytest.fixture
def session() -> Session:
    return Session(tube_volume(), BrightPredictor())


def same_outlines(a: Session, b: Session) -> bool:
    names = [o.name for o in a.segmentation.objects]
    return names == [o.name for o in b.segmentation.objects] and all(
        dict(a.segmentation[n].masks) == dict(b.segmentation[n].masks) for n in names
    )


def test_one_click_outlines_and_names_a_structure(session: Session) -> None:
    result = session.prompt(Point(12, 15, 8), "duct")
    assert (result.object, result.frame) == ("duct", 8)
    assert result.mask.sum() == 10 * 12 and result.score == pytest.approx(0.9)
    assert session.segmentation["duct"].frames == (8,)


def test_a_structure_is_followed_to_both_its_ends_and_not_beyond(session: Session) -> None:
    session.prompt(Point(12, 15, 8), "duct")
    session.propagate()
    assert session.segmentation["duct"].frames == tuple(range(3, 14))
    assert session.tracks["duct"].ended == {15: "forward", 1: "backward"}
    truth = session.scan.voxels()[:25] > 100
    assert np.array_equal(session.segmentation.voxels("duct")[:25], truth)


def test_a_3d_box_limits_where_it_is_followed(session: Session) -> None:
    session.prompt(Box(24, 29, 6, 36, 43, 12), "vein")
    session.propagate()
    assert session.segmentation["vein"].frames == tuple(range(6, 12))


def test_a_correction_touches_only_the_frames_nearest_to_it(session: Session) -> None:
    session.prompt(Point(30, 35, 4), "vein")
    session.propagate()
    before = dict(session.segmentation["vein"].masks)
    predictor = session.predictor
    session.prompt(Point(26, 31, 12, positive=False), "vein")
    predictor.encoded = 0  # type: ignore[attr-defined]
    session.propagate()
    after = session.segmentation["vein"].masks
    assert predictor.encoded <= 14  # type: ignore[attr-defined]  # slices 9 to 19, and 12 again backwards
    assert all(after[k] is before[k] for k in range(9))


def test_propagating_again_does_nothing_new(session: Session) -> None:
    session.prompt(Point(30, 35, 4), "vein")
    session.propagate()
    session.predictor.encoded = 0  # type: ignore[attr-defined]
    session.propagate()
    assert session.predictor.encoded == 0  # type: ignore[attr-defined]


def test_undo_and_redo_walk_through_every_event(session: Session) -> None:
    session.prompt(Point(12, 15, 8), "duct")
    session.propagate()
    full = session.segmentation
    assert session.undo() and session.segmentation["duct"].frames == (8,)
    assert session.undo() and not session.segmentation.objects
    assert not session.undo()
    while session.redo():
        pass
    assert session.segmentation is full


def test_a_new_prompt_after_undo_forgets_what_was_undone(session: Session) -> None:
    session.prompt(Point(12, 15, 8), "duct")
    session.prompt(Point(13, 15, 8), "duct")
    session.undo()
    session.prompt(Point(30, 35, 8), "vein")
    assert not session.redo()
    assert [o.name for o in session.segmentation.objects] == ["duct", "vein"]


def test_a_saved_log_replays_to_the_same_outlines(session: Session) -> None:
    session.prompt(Point(12, 15, 8), "duct")
    session.prompt(Box(24, 29, 36, 43, frame=5), "vein")
    session.propagate()
    session.prompt(Point(30, 35, 10, positive=False), "vein")
    session.undo()
    session.lock("duct")
    log = PromptLog.parse(session.log.to_json())
    again = Session.replay(tube_volume(), log, BrightPredictor())
    assert same_outlines(session, again)
    assert again.segmentation["duct"].locked


def test_a_locked_object_keeps_its_pixels(session: Session) -> None:
    session.prompt(Mask.from_array(np.eye(50, 40, dtype=bool), frame=8), "line")
    session.lock("line")
    session.prompt(Point(12, 16, 8), "duct")
    assert not (session.segmentation.mask("duct", 8) & np.eye(50, 40, dtype=bool)).any()
    with pytest.raises(PromptError, match="locked"):
        session.prompt(Point(12, 15, 8), "line")


def test_a_drawn_mask_is_taken_as_it_is_and_followed(session: Session) -> None:
    drawn = np.zeros((50, 40), dtype=bool)
    drawn[12:20, 12:18] = True
    result = session.prompt(Mask.from_array(drawn, frame=8), "duct")
    assert np.array_equal(result.mask, drawn) and result.score == 1.0
    session.propagate()
    assert np.array_equal(session.segmentation.mask("duct", 8), drawn)
    assert session.segmentation.mask("duct", 9).sum() == 120


def test_another_candidate_can_be_chosen_and_taken_back(session: Session) -> None:
    first = session.prompt(Point(12, 15, 8), "duct")
    session.choose("duct", 8, 1)
    assert session.segmentation.mask("duct", 8).sum() > first.mask.sum()
    session.undo()
    assert np.array_equal(session.segmentation.mask("duct", 8), first.mask)
    with pytest.raises(PromptError, match="offers 2"):
        session.choose("duct", 8, 2)


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        (Point(12, 15, 8, positive=False), "E-PROMPT-ONLY-NEGATIVE"),
        (Point(12, 15), "E-PROMPT-SLICE"),
        (Point(99, 15, 8), "E-PROMPT-OUTSIDE"),
    ],
    ids=["only-negative", "no-slice", "outside"],
)
def test_a_refused_prompt_leaves_nothing_behind(session: Session, prompt: Point, code: str) -> None:
    with pytest.raises(PromptError) as caught:
        session.prompt(prompt, "duct")
    assert caught.value.code == code
    assert not session.segmentation.objects


def test_nothing_to_follow_is_said(session: Session) -> None:
    session.add_object("duct")
    with pytest.raises(PromptError, match="no outline"):
        session.propagate()


def test_the_manifest_says_what_was_found_and_where(session: Session) -> None:
    session.prompt(Point(12, 15, 8), "duct")
    session.propagate()
    (record,) = session.manifest().objects
    assert record.frames == 11 and record.pixels == 11 * 120
    assert record.volume_mm3 == pytest.approx(11 * 120 * 3.0)
    assert set(record.confidence) == set(range(3, 14))
    assert record.prompted == [8]


def test_removing_an_object_leaves_the_others(session: Session) -> None:
    session.prompt(Point(12, 15, 8), "duct")
    session.prompt(Point(30, 35, 8), "vein")
    session.remove_object("duct")
    session.propagate()
    assert [o.name for o in session.segmentation.objects] == ["vein"]
    assert session.segmentation["vein"].label == 2


def test_words_are_refused_by_a_system_that_does_not_read(session: Session) -> None:
    with pytest.raises(PromptError) as caught:
        session.prompt(Text("liver", frame=8), "liver")
    assert caught.value.code == "E-PROMPT-TEXT" and "medsam_text" in caught.value.hint
    assert not session.segmentation.objects and not session.log.can_undo


@pytest.mark.parametrize(("text", "code"), [(" ", "E-TEXT-EMPTY"), ("liver", "E-PROMPT-SLICE")])
def test_words_need_to_be_some_and_on_a_slice(session: Session, text: str, code: str) -> None:
    with pytest.raises(PromptError) as caught:
        session.prompt(Text(text))
    assert caught.value.code == code
