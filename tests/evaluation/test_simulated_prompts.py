"""Prompts made from the truth are where a person would put them."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.data.cases import rng_of
from delineate.evaluation.simulated_prompts import Click, bounding_box, drawn_box, next_click


def block(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((40, 60), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


NOTHING = block(0, 0, 0, 0)


def test_drawn_boxes_are_near_the_true_one() -> None:
    truth = block(10, 30, 5, 45)
    boxes = np.array([drawn_box(truth, rng_of(seed)) for seed in range(300)])
    moved = np.abs(boxes - bounding_box(truth)) / (40, 20, 40, 20)
    assert moved.max() <= 0.05 and (moved.max(axis=0) > 0.045).all()
    assert (np.sign(boxes - bounding_box(truth)).mean(axis=0) < 0.2).all()


def test_drawn_boxes_stay_in_the_frame() -> None:
    boxes = np.array([drawn_box(~NOTHING, rng_of(seed)) for seed in range(50)])
    assert boxes.min() == 0 and boxes[:, 2].max() == 60 and boxes[:, 3].max() == 40


@pytest.mark.parametrize(
    ("truth", "predicted", "click"),
    [
        pytest.param(block(10, 21, 20, 31), NOTHING, Click(25, 15, True), id="first-click-is-the-middle"),
        pytest.param(block(10, 21, 20, 31), block(10, 21, 20, 31), None, id="all-right"),
        pytest.param(NOTHING, block(0, 5, 0, 9), Click(2, 2, False), id="false-region-at-the-border"),
        pytest.param(block(10, 21, 20, 31), block(10, 14, 20, 60), Click(23, 17, True), id="missed-is-deeper"),
        pytest.param(block(10, 14, 20, 60), block(10, 21, 20, 31), Click(23, 17, False), id="false-is-deeper"),
    ],
)
def test_next_click(truth: np.ndarray, predicted: np.ndarray, click: Click | None) -> None:
    assert next_click(truth, predicted, NOTHING) == click


def test_no_pixel_is_clicked_twice() -> None:
    truth, clicked, seen = block(10, 21, 20, 31), NOTHING.copy(), set()
    for _ in range(10):
        click = next_click(truth, NOTHING, clicked)
        assert click is not None and (click.x, click.y) not in seen
        seen.add((click.x, click.y))
        clicked[click.y, click.x] = True
