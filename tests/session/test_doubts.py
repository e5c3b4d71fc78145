"""A prompt where nothing can be seen, or on the background, is answered and told of."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.prompts import Box, Lasso, Mask, Point
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.session import Session
from delineate.session.doubts import DOUBTED, ValueRanges, nothing_to_see, points_at_background


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


NOISE = ValueRanges.of(np.random.default_rng(0).integers(0, 255, (100, 100), dtype=np.uint8))
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
    assert [n.code for n in points_at_background(mask, prompts, "slice 3", NOISE)] == ["W-OUTLINE-BACKGROUND"] * told


def body() -> np.ndarray:
    """A bright body with a dark hole, in noisy air."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 12, (96, 128)).astype(np.int16)
    pixels[20:80, 24:104] = rng.integers(140, 160, (60, 80))
    pixels[40:60, 50:80] = rng.integers(0, 12, (20, 30))
    return pixels


@pytest.mark.parametrize("change", [lambda a: a, lambda a: a - 1000, lambda a: np.stack([a] * 3, -1).astype(np.uint8),
                                    lambda a: np.where(a > 150, np.nan, a).astype(np.float32)],
                         ids=["MRI", "CT", "color", "NaN"])  # fmt: skip
def test_a_click_on_the_air_around_is_doubted_and_one_in_a_dark_hole_is_not(change: object) -> None:
    ranges = ValueRanges.of(change(body()))  # type: ignore[operator]
    air = np.zeros((96, 128), bool)
    air[:20] = True
    hole = np.zeros((96, 128), bool)
    hole[40:60, 50:80] = True
    tissue = np.zeros((96, 128), bool)
    tissue[20:, 24:104] = True
    for at, mask, told in (((60, 8), air, 1), ((64, 50), hole, 0), ((40, 30), tissue, 0)):
        click = FramePrompts(np.array([at], float), np.array([True]))
        assert len(points_at_background(mask, click, "the picture", ranges)) == told, at


@pytest.mark.parametrize("kind", ["image", "volume", "video"])
def test_a_doubted_outline_says_so_in_its_confidence_and_in_what_follows_from_it(kind: str) -> None:
    """All there is of a frame is dark, and bright to the predictor that is asked."""
    from bright_predictor import BrightPredictor

    blank = np.full((4, 40, 48), 120, np.uint8)
    scan = {
        "image": lambda: Scan.from_image(blank[0]),
        "volume": lambda: Scan.from_volume(blank.transpose(2, 1, 0), slice_axis=2),
        "video": lambda: Scan.from_frames(blank),
    }[kind]()
    session = Session(scan, BrightPredictor())
    frame = None if kind == "image" else 1
    answer = session.prompt(Point(20, 20, frame=frame), "a")
    assert answer.score == DOUBTED and session.tracks["a"].warnings == {
        frame or 0: "nothing can be seen where it was prompted"
    }
    if kind != "image":
        session.propagate()
        one = session.segmentation["a"]
        assert one.frames == (0, 1, 2, 3) and max(one.scores.values()) == DOUBTED
    session.prompt(Mask.from_array(np.eye(40, 48, dtype=bool), frame=frame), "a")
    assert session.tracks["a"].warnings.get(frame or 0) is None and session.segmentation["a"].scores[frame or 0] == 1


def test_words_point_nowhere() -> None:
    assert nothing_to_see(ValueRanges.of(np.zeros((9, 9))), FramePrompts(text="liver"), "slice 1") == ()


def test_a_lasso_is_looked_into_too() -> None:
    session = Session(Scan.from_image(picture()))
    session.prompt(Lasso(points=((20, 20), (50, 20), (50, 60))), "a")
    assert codes(session) == ["W-PICTURE-BLANK"]
