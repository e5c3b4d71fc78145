"""Sessions on predictors of whole scans: prompts in 3D and classes without a prompt, undone, redone and replayed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from delineate.core.errors import PromptError
from delineate.core.intensities import IntensityWindow
from delineate.core.prompt_log import PromptLog
from delineate.core.prompts import Box, Mask, Point, Prompt, Scribble, Text
from delineate.core.scan import Scan
from delineate.predictors.capabilities import PromptKind
from delineate.session import Session
from scan_predictors import ThresholdInBox, TwoThresholds, blocks

BRIGHT, GRAY = (blocks() > low for low in (150, 60))
BOX = Box(6, 8, 4, 22, 26, 8)


@pytest.fixture
def volume() -> Session:
    return Session(Scan.from_volume(blocks(), slice_axis=2), ThresholdInBox())


@pytest.fixture
def dense() -> Session:
    return Session(Scan.from_volume(blocks(), slice_axis=2), TwoThresholds())


def frames(session: Session, name: str) -> tuple[int, ...]:
    return session.segmentation[name].frames


def test_a_box_stays_three_dimensional(volume: Session) -> None:
    result = volume.prompt(BOX, "block")
    inside = np.zeros_like(BRIGHT)
    inside[6:22, 8:26, 4:8] = True
    assert np.array_equal(volume.segmentation.voxels("block"), BRIGHT & inside)
    assert result.frame == 5 and result.mask.any() and result.score == 1


@pytest.mark.parametrize(
    ("line", "crossed"),
    [
        pytest.param(
            Scribble(points=((14.0, 16.0, 3.0), (14.0, 16.0, 8.0))), (3, 4, 5, 6, 7, 8), id="straight-through"
        ),
        pytest.param(Scribble(points=((10.0, 12.0, 7.0), (18.0, 20.0, 4.0))), (4, 5, 6, 7), id="aslant-and-upwards"),
        pytest.param(Scribble(points=((10.0, 12.0), (18.0, 20.0)), frame=6), (6,), id="on-one-slice"),
    ],
)
def test_a_scribble_may_cross_slices(volume: Session, line: Scribble, crossed: tuple[int, ...]) -> None:
    volume.prompt(line, "block")
    assert frames(volume, "block") == crossed


def test_prompts_of_all_slices_count_together(volume: Session) -> None:
    volume.prompt(Box(6, 8, 3, 22, 26, 9), "block")
    whole = volume.segmentation.voxels("block")
    volume.prompt(Point(14, 16, 7, positive=False), "block")
    less = volume.segmentation.voxels("block")
    assert whole.sum() - less.sum() == 25 and not less[14, 16, 7]
    assert volume.tracks["block"].prompted.keys() == {5, 7}


def test_a_drawn_outline_is_kept_and_tells_the_other_slices(volume: Session) -> None:
    drawn = np.zeros((36, 40), bool)
    drawn[12:15, 10:13] = True
    volume.prompt(Mask.from_array(drawn, frame=6), "block")
    volume.prompt(Point(16, 20, 6), "block")
    volume.prompt(Mask.from_array(drawn, frame=6), "block")
    assert frames(volume, "block") == (5, 6, 7)
    assert np.array_equal(volume.segmentation.mask("block", 6), drawn)


def test_a_locked_object_keeps_its_voxels(volume: Session) -> None:
    volume.prompt(BOX, "first")
    volume.lock("first")
    volume.prompt(Box(6, 8, 3, 22, 26, 9), "second")
    assert frames(volume, "second") == (3, 8)


def test_nothing_is_left_to_follow(volume: Session) -> None:
    volume.prompt(BOX, "block")
    before = volume.segmentation.voxels("block")
    assert volume.propagate()
    assert np.array_equal(volume.segmentation.voxels("block"), before)


def test_each_class_is_an_object(dense: Session) -> None:
    assert dense.predict() == ("gray", "bright")
    assert np.array_equal(dense.segmentation.voxels("bright"), BRIGHT)
    assert np.array_equal(dense.segmentation.voxels("gray"), GRAY & ~BRIGHT)
    assert dense.propagate() and dense.segmentation["gray"].scores[3] == 1


def test_logits_give_the_same_classes_and_say_how_sure() -> None:
    session = Session(Scan.from_volume(blocks(), slice_axis=2), TwoThresholds(logits=True))
    session.predict()
    assert np.array_equal(session.segmentation.voxels("bright"), BRIGHT)
    assert 0.99 < session.segmentation["bright"].scores[4] < 1


def test_a_class_can_be_corrected_by_drawing_and_is_locked_as_any_object(dense: Session) -> None:
    dense.predict()
    drawn = np.zeros((36, 40), bool)
    drawn[2:5, 2:5] = True
    dense.prompt(Mask.from_array(drawn, frame=0), "gray")
    dense.lock("gray")
    before = dense.segmentation.voxels("gray")
    dense.predict()
    assert np.array_equal(dense.segmentation.voxels("gray"), before) and frames(dense, "gray")[0] == 0


@pytest.mark.parametrize("prompt", [pytest.param(Point(14, 16, 5), id="click"), pytest.param(BOX, id="box")])
def test_a_model_of_classes_answers_no_prompt(dense: Session, prompt: Prompt) -> None:
    with pytest.raises(PromptError) as caught:
        dense.prompt(prompt, "gray")
    assert caught.value.code == "E-PROMPT-DENSE" and not dense.segmentation.objects and not dense.log.events


def test_a_prompted_model_predicts_nothing_by_itself(volume: Session) -> None:
    with pytest.raises(PromptError) as caught:
        volume.predict()
    assert caught.value.code == "E-PREDICT-PROMPT" and not volume.log.events


@pytest.mark.parametrize(
    ("predictor", "done"),
    [
        pytest.param(ThresholdInBox(), lambda s: s.prompt(BOX, "block"), id="volume"),
        pytest.param(TwoThresholds(), lambda s: s.predict(), id="dense"),
    ],
)
def test_all_of_it_is_one_undo_and_a_log_gives_it_again(predictor, done) -> None:  # type: ignore[no-untyped-def]
    scan = Scan.from_volume(blocks(), slice_axis=2)
    session = Session(scan, predictor)
    done(session)
    outlined = {name: session.segmentation.voxels(name) for name in session.segmentation.names}
    assert session.undo() and not session.segmentation.objects and not session.undo()
    assert session.redo()
    log = PromptLog.model_validate_json(session.log.model_dump_json())
    again = Session.replay(scan, log, predictor)
    for made in (session, again):
        assert made.segmentation.names == log.objects == tuple(outlined)
        assert all(np.array_equal(made.segmentation.voxels(name), mask) for name, mask in outlined.items())


class SeesAll(ThresholdInBox):
    capabilities = replace(ThresholdInBox.capabilities, takes_window=False)


@pytest.mark.parametrize(
    ("predictor", "told"), [pytest.param(ThresholdInBox(), 0, id="seen"), pytest.param(SeesAll(), 1, id="not-seen")]
)
def test_a_window_that_is_not_seen_is_told(predictor: ThresholdInBox, told: int) -> None:
    scan = Scan.from_volume(blocks(), slice_axis=2).with_window(IntensityWindow(0, 200, "chosen"))
    assert sum(notice.code == "W-WINDOW" for notice in Session(scan, predictor).notices) == told


@pytest.mark.parametrize(
    "scan",
    [
        pytest.param(Scan.from_image(blocks()[:, :, 4].T.astype(np.uint8)), id="image"),
        pytest.param(Scan.from_frames(blocks().transpose(2, 1, 0).astype(np.uint8)), id="video"),
    ],
)
def test_images_and_clips_have_classes_and_boxes_too(scan: Scan) -> None:
    dense, boxed = Session(scan, TwoThresholds()), Session(scan, ThresholdInBox())
    dense.predict()
    boxed.prompt(Box(6, 8, 22, 26, frame=min(4, len(scan) - 1)), "block")
    frame = min(4, len(scan) - 1)
    assert dense.segmentation.mask("bright", frame).sum() == boxed.segmentation.mask("block", frame).sum() == 12 * 14


@pytest.mark.parametrize(
    ("kinds", "prompt", "code"),
    [
        pytest.param({PromptKind.BOX}, Point(14, 16, 5), "E-PROMPT-UNANSWERED", id="click-for-boxes"),
        pytest.param({PromptKind.TEXT}, BOX, "E-PROMPT-UNANSWERED", id="box-for-words"),
        pytest.param({PromptKind.BOX}, Text("liver", frame=5), "E-PROMPT-TEXT", id="words-for-boxes"),
    ],
)
def test_a_kind_of_prompt_that_is_not_answered_is_refused(kinds: set[PromptKind], prompt: Prompt, code: str) -> None:
    class Choosy(ThresholdInBox):
        capabilities = replace(ThresholdInBox.capabilities, prompts=frozenset(kinds))

    session = Session(Scan.from_volume(blocks(), slice_axis=2), Choosy())
    with pytest.raises(PromptError) as caught:
        session.prompt(prompt, "block")
    assert caught.value.code == code and not session.log.events
