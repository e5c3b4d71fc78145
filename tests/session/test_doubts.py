"""A prompt where nothing can be seen, or on the background, is answered and told of."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.prompts import Box, Lasso, Mask, Point
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.session import Session
from delineate.session.doubts import ValueRanges, nothing_to_see, points_at_background


def picture(dtype: type = np.uint8) -> np.ndarray:
    """Left half blank, right half with a bright square."""
    pixels = np.zeros((96, 192), dtype)
    pixels[:, 96:] = np.random.default_rng(0).integers(40, 60, (96, 96))
    pixels[30:60, 130:160] = 200
    return pixels


def codes(session: Session) -> list[str]:
    return [notice.code for notice in session.notices]


@pytest.mark.parametrize(
    ("scan", "frame"),
    [
        pytest.param(Scan.from_image(picture()), None, id="image"),
        pytest.param(Scan.from_image(np.full((96, 192), np.nan, np.float32)), None, id="nan"),
        pytest.param(Scan.from_image(np.full((96, 192), -np.inf, np.float32)), None, id="infinite"),
        pytest.param(Scan.from_image(np.repeat(picture()[..., None], 3, axis=2)), None, id="color"),
        pytest.param(Scan.from_volume(np.stack([picture(np.int16).T] * 3, axis=2), slice_axis=2), 1, id="volume"),
        pytest.param(Scan.from_frames(np.stack([picture()] * 3)), 2, id="video"),
    ],
)
@pytest.mark.parametrize("prompt", [Box(20, 30, 50, 60), Point(30, 40)], ids=["box", "click"])
def test_a_prompt_on_one_value_is_told_of(scan: Scan, frame: int | None, prompt: Box | Point) -> None:
    session = Session(scan)
    session.prompt(prompt.model_copy(update={"frame": frame}), "a")
    assert codes(session).count("W-PICTURE-BLANK") == 1
    message = next(n.message for n in session.notices if n.code == "W-PICTURE-BLANK")
    assert ("the picture" if frame is None else f"{scan.frame_word} {frame}") in message


@pytest.mark.parametrize("prompt", [Box(125, 25, 165, 65), Point(145, 45), Box(80, 30, 100, 60)])
def test_where_something_is_seen_nothing_is_said(prompt: Box | Point) -> None:
    session = Session(Scan.from_image(picture()))
    session.prompt(prompt, "a")
    assert "W-PICTURE-BLANK" not in codes(session)


def test_an_outline_that_was_drawn_is_not_doubted() -> None:
    drawn = np.zeros((96, 192), bool)
    drawn[30:60, 20:50] = True
    session = Session(Scan.from_image(picture()))
    session.prompt(Mask.from_array(drawn), "a")
    assert codes(session) == []


def test_undo_takes_the_doubt_back_and_redo_brings_it() -> None:
    session = Session(Scan.from_image(picture()))
    session.prompt(Box(20, 30, 50, 60), "a")
    session.undo()
    assert codes(session) == []
    session.redo()
    assert codes(session) == ["W-PICTURE-BLANK"]


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (7, 9), (8, 8), (17, 23)], ids=str)
def test_ranges_of_frames_of_any_size(size: tuple[int, int]) -> None:
    pixels = np.zeros(size, np.int16)
    assert ValueRanges.of(pixels).is_constant((-5.0, -5.0, 100.0, 100.0))
    pixels[-1, -1] = 1
    ranges = ValueRanges.of(pixels)
    assert ranges.is_constant((0.0, 0.0, float(size[1]), float(size[0]))) is (size == (1, 1))


def ring(share: float) -> np.ndarray:
    """Everything but a square in the middle, of which ``share`` of the frame is left."""
    mask = np.ones((100, 100), bool)
    half = round(50 * (1 - share) ** 0.5)
    mask[50 - half : 50 + half, 50 - half : 50 + half] = False
    return mask


CLICK = FramePrompts(np.array([[3.0, 3.0]]), np.array([True]))


@pytest.mark.parametrize(
    ("mask", "prompts", "told"),
    [
        pytest.param(ring(0.6), CLICK, True, id="all-borders"),
        pytest.param(ring(0.6), FramePrompts(box=(0, 0, 99, 99)), False, id="box-says-so"),
        pytest.param(ring(0.6), FramePrompts(CLICK.points, CLICK.labels, mask=ring(0.5)), False, id="outline-says-so"),
        pytest.param(ring(0.05), CLICK, False, id="thin"),
        pytest.param(~ring(0.4), CLICK, False, id="in-the-middle"),
        pytest.param(np.zeros((100, 100), bool), CLICK, False, id="nothing"),
    ],
)
def test_an_outline_round_the_frame_is_doubted(mask: np.ndarray, prompts: FramePrompts, told: bool) -> None:
    assert [n.code for n in points_at_background(mask, prompts, "slice 3")] == ["W-OUTLINE-BACKGROUND"] * told


def test_words_point_nowhere() -> None:
    assert nothing_to_see(ValueRanges.of(np.zeros((9, 9))), FramePrompts(text="liver"), "slice 1") == ()


def test_a_lasso_is_looked_into_too() -> None:
    session = Session(Scan.from_image(picture()))
    session.prompt(Lasso(points=((20, 20), (50, 20), (50, 60))), "a")
    assert codes(session) == ["W-PICTURE-BLANK"]
