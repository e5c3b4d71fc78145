"""Whatever a model of another distribution answers, it is taken for what its protocol says, or the model is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bright_predictor import BrightPredictor
from delineate.core.errors import DelineateError
from delineate.core.prompts import Box
from delineate.core.scan import Scan
from delineate.predictors.frame_predictor import Candidates
from delineate.session import Session
from scan_predictors import ThresholdInBox, TwoThresholds, blocks

BOX = Box(6, 8, 4, 22, 26, 8)
CLASSES = 2
SIZE = (36, 40)  # height, width of a slice


def volume() -> Scan:
    return Scan.from_volume(blocks(), slice_axis=2)


def dense(values: Any = None, frame: Any = 0, classes: Any = ("gray", "bright")) -> Session:
    model = TwoThresholds()
    model.classes = classes
    if values is not None or frame != 0:
        model.predict = lambda scan: iter([(frame, np.zeros(SIZE, int) if values is None else values)])  # type: ignore[method-assign]
    return Session(volume(), model)


NAN = np.full((1 + CLASSES, *SIZE), np.nan, np.float32)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        pytest.param(lambda: dense(np.zeros(SIZE[::-1], int)), "(40, 36)", id="turned"),
        pytest.param(lambda: dense(np.zeros((2, *SIZE), np.float32)), "(2, 36, 40)", id="a-logit-too-few"),
        pytest.param(lambda: dense(np.zeros((1, *SIZE), int)), "(1, 36, 40)", id="a-batch"),
        pytest.param(lambda: dense(np.zeros(SIZE, np.float32)), "float32", id="labels-of-fractions"),
        pytest.param(lambda: dense(np.zeros(SIZE, complex)), "complex", id="complex"),
        pytest.param(lambda: dense(np.full(SIZE, "liver")), "U5", id="words"),
        pytest.param(lambda: dense(np.full(SIZE, 3)), "class 3", id="unknown-class"),
        pytest.param(lambda: dense(np.full(SIZE, -1)), "class -1", id="negative-class"),
        pytest.param(lambda: dense(NAN), "not finite", id="nan"),
        pytest.param(lambda: dense(NAN * 0 + np.inf), "not finite", id="infinite"),
        pytest.param(lambda: dense([[1, 2], [3, 4]]), "(2, 2)", id="a-list"),
        pytest.param(lambda: dense(frame=12), "slice 12", id="frame-beyond-the-end"),
        pytest.param(lambda: dense(frame=-1), "slice -1", id="negative-frame"),
        pytest.param(lambda: dense(frame="first"), "first", id="frame-in-words"),
        pytest.param(lambda: dense(classes=("a", "a")), "distinct", id="classes-twice"),
        pytest.param(lambda: dense(classes=(1, 2)), "names", id="classes-of-numbers"),
        pytest.param(lambda: dense(classes=()), "names", id="no-classes"),
        pytest.param(lambda: dense(classes=None), "TypeError", id="classes-none"),
    ],
)
def test_a_wrong_answer_of_a_dense_model_names_the_model(made: Callable[[], Session], says: str) -> None:
    with pytest.raises(DelineateError) as caught:
        made().predict()
    assert caught.value.code in ("E-PREDICTOR-ANSWER", "E-PREDICTOR-FAILED")
    assert "two" in caught.value.message and says in caught.value.message and caught.value.hint


def test_a_frame_twice_and_what_is_no_pair_are_told() -> None:
    for frames, says in (([(0, np.zeros(SIZE, int))] * 2, "frame 0 twice"), ([np.zeros(SIZE, int)], "ndarray")):
        model = TwoThresholds()
        model.predict = lambda scan, frames=frames: iter(frames)  # type: ignore[method-assign]
        with pytest.raises(DelineateError, match=says):
            Session(volume(), model).predict()


def test_an_exception_within_names_the_model() -> None:
    model = TwoThresholds()
    model.predict = lambda scan: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    with pytest.raises(DelineateError, match=r"two failed: ZeroDivisionError") as caught:
        Session(volume(), model).predict()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int16, np.uint64, bool])
def test_labels_of_any_whole_numbers_are_taken(dtype: Any) -> None:
    session = dense((blocks().T[0] > 60).astype(dtype))
    session.predict()
    assert session.segmentation["gray"].area == (blocks().T[0] > 60).sum()


GOOD = Candidates(np.ones((1, *SIZE), bool), np.ones(1, np.float32))
WRONG: list[tuple[str, Callable[[], Any], str]] = [
    ("size", lambda: replace(GOOD, masks=np.ones((1, 20, 20), bool)), "(1, 20, 20)"),
    ("no-candidate", lambda: replace(GOOD, masks=np.ones((0, *SIZE), bool)), "(0, 36, 40)"),
    ("one-mask", lambda: replace(GOOD, masks=np.ones(SIZE, bool)), "(36, 40)"),
    ("fractions", lambda: replace(GOOD, masks=np.full((1, *SIZE), 0.7)), "float64"),
    ("whole-numbers", lambda: replace(GOOD, masks=np.ones((1, *SIZE), np.uint8)), "uint8"),
    ("nan-score", lambda: replace(GOOD, scores=np.array([np.nan])), "nan"),
    ("scores", lambda: replace(GOOD, scores=np.ones(3)), "[1. 1. 1.]"),
    ("best", lambda: replace(GOOD, best=4), "best = 4"),
    ("presence", lambda: replace(GOOD, presence=float("nan")), "presence"),
    ("array", lambda: np.ones(SIZE, bool), "ndarray"),
    ("none", lambda: None, "NoneType"),
]
EACH = pytest.mark.parametrize(("answer", "says"), [pytest.param(a, s, id=n) for n, a, s in WRONG])


@EACH
def test_a_wrong_answer_to_a_prompt_names_the_model(answer: Callable[[], Any], says: str) -> None:
    model = BrightPredictor()
    model.outlined = lambda features, query: answer()  # type: ignore[method-assign]
    with pytest.raises(DelineateError) as caught:
        Session(volume(), model).prompt(BOX, "a")
    assert caught.value.code == "E-PREDICTOR-ANSWER"
    assert "bright" in caught.value.message and says in caught.value.message


@EACH
def test_a_wrong_answer_while_following_names_the_model(answer: Callable[[], Any], says: str) -> None:
    model = BrightPredictor()
    session = Session(volume(), model)
    session.prompt(BOX, "a")
    model.outlined = lambda features, query: answer()  # type: ignore[method-assign]
    with pytest.raises(DelineateError) as caught:
        session.propagate()
    assert caught.value.code == "E-PREDICTOR-ANSWER" and "bright" in caught.value.message


@EACH
def test_a_wrong_answer_of_a_volume_model_names_the_model(answer: Callable[[], Any], says: str) -> None:
    model = ThresholdInBox()
    model.segment = lambda scan, queries: {name: {5: answer()} for name in queries}  # type: ignore[method-assign]
    with pytest.raises(DelineateError) as caught:
        Session(volume(), model).prompt(BOX, "a")
    assert caught.value.code == "E-PREDICTOR-ANSWER" and "threshold" in caught.value.message


@pytest.mark.parametrize(
    ("answers", "says"),
    [({"b": {}}, '"b"'), ({"a": {99: GOOD}}, "slice 99"), ({"a": {-1: GOOD}}, "slice -1"),
     ({"a": [GOOD]}, "no outlines by name"), ([], "a list")],
    ids=["another-name", "frame", "negative-frame", "list-of-frames", "list"],
)  # fmt: skip
def test_outlines_of_a_volume_model_are_by_name_and_frame(answers: Any, says: str) -> None:
    model = ThresholdInBox()
    model.segment = lambda scan, queries: answers  # type: ignore[method-assign]
    with pytest.raises(DelineateError) as caught:
        Session(volume(), model).prompt(BOX, "a")
    assert caught.value.code == "E-PREDICTOR-ANSWER" and says in caught.value.message


def test_too_few_answers_are_told() -> None:
    model = BrightPredictor()
    model.decode = lambda features, queries: []  # type: ignore[method-assign]
    with pytest.raises(DelineateError, match="0 answers to 1 queries"):
        Session(volume(), model).prompt(BOX, "a")
