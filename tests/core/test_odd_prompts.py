"""Prompts, names and labels of any kind: taken for what they say, or refused in one sentence with a code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from delineate.core.errors import PromptError
from delineate.core.grid import Grid
from delineate.core.prompts import MOST_CORNERS, Box, Lasso, Mask, Point, Scribble, Text
from delineate.core.resolve import resolve_prompt
from delineate.core.scan import Scan
from delineate.core.segmentation import MOST_LABELS, Segmentation
from delineate.session import Session

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        pytest.param(lambda: Box((1, 2, 3, 4)), (1, 2, 3, 4), id="tuple"),
        pytest.param(lambda: Box([1, 2, 3, 4]), (1, 2, 3, 4), id="list"),
        pytest.param(lambda: Box(np.array([1, 2, 3, 4])), (1, 2, 3, 4), id="array"),
        pytest.param(lambda: Box(*np.arange(4, dtype=np.float32)), (0, 1, 2, 3), id="float32"),
        pytest.param(lambda: Box(1, 2, 3, 4, frame=np.int64(3)), (1, 2, 3, 4), id="frame-int64"),
        pytest.param(lambda: Box(0, 0, 0, 1e-4, 1, 1, space="RAS"), (0, 0, 0, 1e-4, 1, 1), id="thin-in-millimeters"),
    ],
)
def test_boxes_are_taken_however_their_numbers_come(prompt: Any, expected: tuple[float, ...]) -> None:
    assert prompt().corners == expected


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        pytest.param(lambda: Box(1, 2, 3), "E-BOX-LENGTH", id="three-numbers"),
        pytest.param(lambda: Box((1, 2), (3, 4)), "E-PROMPT-FIELD", id="two-corners"),
        pytest.param(lambda: Box(np.zeros((2, 2))), "E-PROMPT-FIELD", id="array-of-two-axes"),
        pytest.param(lambda: Box("1,2,3,4"), "E-PROMPT-FIELD", id="text"),
        pytest.param(lambda: Box(), "E-PROMPT-FIELD", id="nothing"),
        pytest.param(lambda: Box(1, 1, 1, 5), "E-BOX-EMPTY", id="no-width"),
        pytest.param(lambda: Box(0, 0, 5, 5, 5, 5), "E-BOX-EMPTY", id="no-depth"),
        pytest.param(lambda: Box(5, 1, 1, 5), "E-BOX-INVERTED", id="inverted"),
        pytest.param(lambda: Box(NAN, 1, 2, 5), "E-PROMPT-NUMBER", id="nan"),
        pytest.param(lambda: Box(-INF, 1, INF, 5), "E-PROMPT-NUMBER", id="infinite"),
        pytest.param(lambda: Box(0, 0, 1e10, 5), "E-PROMPT-NUMBER", id="huge"),
        pytest.param(lambda: Point(10**400, 2), "E-PROMPT-FIELD", id="huge-whole-number"),
        pytest.param(lambda: Point(1), "E-PROMPT-LENGTH", id="one-number"),
        pytest.param(lambda: Point(1, 2, 3, 4), "E-PROMPT-LENGTH", id="four-numbers"),
        pytest.param(lambda: Point("a", 2), "E-PROMPT-FIELD", id="a-word"),
        pytest.param(lambda: Point(1j, 2), "E-PROMPT-FIELD", id="complex"),
        pytest.param(lambda: Point(1, None), "E-PROMPT-FIELD", id="none"),
        pytest.param(lambda: Point(1, 2, frame=1.5), "E-PROMPT-FIELD", id="frame-fraction"),
        pytest.param(lambda: Point(1, 2, frame="first"), "E-PROMPT-FIELD", id="frame-word"),
        pytest.param(lambda: Point(1, 2, space="ras"), "E-PROMPT-FIELD", id="space"),
        pytest.param(lambda: Point(1, 2, size=3), "E-PROMPT-FIELD", id="field-there-is-not"),
        pytest.param(lambda: Scribble(points=()), "E-SCRIBBLE-EMPTY", id="scribble-empty"),
        pytest.param(lambda: Scribble(points=((1, 1), (2, 2, 2))), "E-PROMPT-LENGTH", id="scribble-mixed"),
        pytest.param(lambda: Scribble(points=((1, 1), (NAN, 2))), "E-PROMPT-NUMBER", id="scribble-nan"),
        pytest.param(lambda: Scribble(points=((1, 1),) * (MOST_CORNERS + 1)), "E-PROMPT-MANY", id="scribble-endless"),
        pytest.param(lambda: Lasso(points=((1, 1), (2, 2))), "E-LASSO-SHORT", id="lasso-short"),
        pytest.param(lambda: Lasso(points=((1, 1), (9, 9, 0), (9, 1))), "E-PROMPT-LENGTH", id="lasso-mixed"),
        pytest.param(lambda: Text(" \n"), "E-TEXT-EMPTY", id="no-words"),
        pytest.param(lambda: Text(3), "E-PROMPT-FIELD", id="words-that-are-a-number"),
        pytest.param(lambda: Mask(height=-2, width=-2, counts=(0, 4)), "E-MASK-EMPTY", id="mask-negative-size"),
        pytest.param(lambda: Mask(height=2, width=2, counts=(-1, 5)), "E-MASK-RUNS", id="mask-negative-run"),
        pytest.param(lambda: Mask(height=2, width=2, counts=(0, 3)), "E-MASK-RUNS", id="mask-short"),
    ],
)
def test_what_is_no_prompt_is_refused_in_a_sentence(prompt: Any, code: str) -> None:
    with pytest.raises(PromptError) as caught:
        prompt()
    assert caught.value.code == code
    assert "pydantic" not in str(caught.value) and len(str(caught.value)) < 300


DRAWN = np.zeros((20, 30), bool)
DRAWN[5:12, 8:20] = True


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(DRAWN, id="bool"),
        pytest.param(DRAWN.astype(np.uint8) * 255, id="255"),
        pytest.param(DRAWN.astype(np.int16) * -1, id="negative"),
        pytest.param(DRAWN.astype(np.uint64) * 70_000, id="large-label"),
        pytest.param(DRAWN.astype(np.float32), id="float"),
        pytest.param(np.where(DRAWN, 1.0, NAN), id="nan-background"),
        pytest.param(np.where(DRAWN, 0.95, 0.01), id="probabilities"),
        pytest.param(np.where(DRAWN, 0.5, 0.4999), id="probabilities-close"),
        pytest.param(np.where(DRAWN, 3.0, 0.0), id="label-as-float"),
        pytest.param(DRAWN.astype(np.float16), id="half"),
    ],
)
def test_masks_of_any_number_type_are_the_same(values: np.ndarray) -> None:
    assert np.array_equal(Mask.from_array(values).array, DRAWN)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        pytest.param(np.ones((3, 8, 8)), "E-MASK-ARRAY", id="three-axes"),
        pytest.param(np.ones(8), "E-MASK-ARRAY", id="one-axis"),
        pytest.param(np.ones((2, 2), complex), "E-MASK-ARRAY", id="complex"),
        pytest.param(np.array([["a", "b"]]), "E-MASK-ARRAY", id="words"),
        pytest.param(np.array([[None, 1]], object), "E-MASK-ARRAY", id="objects"),
        pytest.param(np.full((4, 4), NAN), "E-MASK-EMPTY", id="all-nan"),
        pytest.param(np.full((4, 4), 0.3), "E-MASK-EMPTY", id="improbable"),
        pytest.param(np.zeros((0, 5)), "E-MASK-EMPTY", id="no-rows"),
    ],
)
def test_arrays_that_are_no_mask_are_refused(values: np.ndarray, code: str) -> None:
    with pytest.raises(PromptError) as caught:
        Mask.from_array(values)
    assert caught.value.code == code


def nothing_yet() -> Segmentation:
    return Segmentation.empty(Scan.from_image(np.zeros((20, 30), np.uint8)))


@pytest.mark.parametrize("label", [1, 255, 256, MOST_LABELS, np.uint16(700)], ids=str)
def test_labels_are_whole_numbers_of_16_bits(label: Any) -> None:
    assert nothing_yet().adding("a", label=label).objects[0].label == label


@pytest.mark.parametrize("label", [0, -1, MOST_LABELS + 1, 10**30, 1.5, True, "3", NAN], ids=repr)
def test_other_labels_are_refused(label: Any) -> None:
    with pytest.raises(PromptError, match="Label") as caught:
        nothing_yet().adding("a", label=label)
    assert caught.value.code == "E-LABEL-RANGE"


def test_after_the_last_label_the_least_free_one_is_taken() -> None:
    some = nothing_yet().adding("a", label=1).adding("b", label=MOST_LABELS).adding("c").adding("d")
    assert [one.label for one in some.objects] == [1, MOST_LABELS, 2, 3]


@pytest.mark.parametrize("color", [(300, 0, 0), (-1, 0, 0), (1, 2), (1, 2, 3, 4)], ids=str)
def test_colors_are_three_bytes(color: Any) -> None:
    with pytest.raises(PromptError) as caught:
        nothing_yet().adding("a", color=color)
    assert caught.value.code == "E-LABEL-COLOR"


@pytest.mark.parametrize("name", ["łódź", "肝臓", "e\u0301", "a" * 5000, "../../x", "a|b", "[red]", "💡"], ids=ascii)
def test_names_may_be_of_any_script(name: str) -> None:
    assert name in nothing_yet().adding(name)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\rb", "\x1b[2J", "\ud800", "\u202eabc", "\u2028", "\0", None, 3])
def test_names_that_act_or_are_none_are_refused(name: Any) -> None:
    with pytest.raises(PromptError) as caught:
        nothing_yet().adding(name)
    assert caught.value.code == "E-LABEL-NAME" and str(caught.value).isprintable() is False
    assert all(c.isprintable() or c == "\n" for c in str(caught.value))


@pytest.mark.parametrize(
    ("second", "words"), [(("a", 7), '"a"'), (("b", 3), "label 3"), (("a" * 10_000, 3), "label 3")], ids=str
)
def test_what_is_there_twice_is_named(second: tuple[str, int], words: str) -> None:
    with pytest.raises(PromptError, match=words) as caught:
        nothing_yet().adding("a", label=3).adding(second[0], label=second[1])
    assert caught.value.code == "E-OBJECT-TWICE" and len(str(caught.value)) < 200


def test_objects_read_in_one_line() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80), dtype=np.uint8)
    session = Session(Scan.from_image(pixels))
    for n in range(3):
        session.prompt(Box(5, 5, 40, 40), f"object {n}")
    for shown in (session.segmentation, session.segmentation["object 0"], session.tracks):
        assert "object" in repr(shown) and len(repr(shown)) < 300


@pytest.mark.parametrize("space", ["RAS", "LPS"])
@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(lambda **at: Box(1, 1, 5, 5, **at), id="box"),
        pytest.param(lambda **at: Point(1, 1, **at), id="point"),
        pytest.param(lambda **at: Scribble((1, 1), (5, 5), **at), id="scribble"),
        pytest.param(lambda **at: Lasso((1, 1), (5, 1), (5, 5), **at), id="lasso"),
    ],
)
def test_millimeters_without_a_depth_are_not_taken_for_pixels(prompt: Any, space: str) -> None:
    """Of a picture too: where it lies in the patient takes three numbers."""
    volume = Scan.from_volume(np.zeros((9, 9, 5), np.int16))
    for scan in (volume, Scan.from_image(np.zeros((9, 9), np.int16), Grid((9, 9)))):
        with pytest.raises(PromptError) as caught:
            resolve_prompt(prompt(space=space, frame=0), scan)
        assert caught.value.code == "E-PROMPT-LENGTH" and space in caught.value.message
    assert resolve_prompt(prompt(frame=2), volume).frame == 2
