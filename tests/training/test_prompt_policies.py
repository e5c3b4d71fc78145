"""Simulated prompts keep to the rules their papers state."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from delineate.training.prompt_policies import (
    MED2D_ROUNDS,
    SAM_ROUNDS,
    SIMULATIONS,
    PromptPolicy,
    SampledPrompts,
    exact_prompts,
    med2d_first,
    med2d_then,
    sam_then,
)
from delineate.training.prompt_simulation import bounding_box, error_clicks, noisy_box, outward_box, shifted_box


def square(side: int = 64) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[20:40, 10:50] = True
    return mask


def test_boxes_only_move_outwards() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([outward_box(rng, square(), 15) for _ in range(200)])
    assert (drawn[:, :2] <= (10, 20)).all() and (drawn[:, 2:] >= (50, 40)).all()
    assert drawn.min() >= 0 and drawn.max() <= 64 and drawn[:, 2].max() > 60 and np.ptp(drawn, axis=0).min() > 5


def test_shifted_boxes_keep_their_size_and_follow_the_largest_part() -> None:
    rng = np.random.default_rng(0)
    mask = square()
    mask[60:62, 60:62] = True
    drawn = np.array([shifted_box(rng, mask) for _ in range(100)])
    assert np.allclose(drawn[:, 2:] - drawn[:, :2], (40, 20))
    assert np.abs(drawn[:, :2] - (10, 20)).max() <= 5 and np.ptp(drawn[:, 0]) > 5


def test_noise_of_boxes_is_a_tenth_of_the_side() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([noisy_box(rng, square(), 0.1, 20) for _ in range(500)]) - bounding_box(square())
    assert np.allclose(drawn.std(axis=0), (4, 2, 4, 2), rtol=0.15)


def test_error_clicks_say_what_is_missing_and_what_is_too_much() -> None:
    truth, found = square(), np.roll(square(), 6, axis=1)
    points, labels = error_clicks(np.random.default_rng(0), found, truth, 50)
    for (x, y), label in zip(points.astype(int), labels, strict=True):
        assert truth[y, x] != found[y, x] and bool(label) == truth[y, x]
    assert set(labels) == {0, 1}
    assert (error_clicks(np.random.default_rng(0), truth, truth, 3)[1] == -1).all()


@pytest.mark.parametrize("policy", list(PromptPolicy), ids=str)
def test_every_policy_points_at_the_structure(policy: PromptPolicy) -> None:
    masks = np.stack([square(), square().T])
    for seed in range(6):
        given = SIMULATIONS[policy].first(np.random.default_rng(seed), masks)
        assert (given.points is None) != (given.boxes is None) and not given.feedback
        if given.points is not None:
            at = given.points.astype(int)[:, 0]
            assert all(mask[y, x] for mask, (x, y) in zip(masks, at, strict=True))
    exact = exact_prompts(policy, masks)
    assert (exact.points is None) == (policy is not PromptPolicy.POINT)


def test_rounds_of_sam_add_one_click_each_but_two() -> None:
    rng, masks = np.random.default_rng(0), square()[None]
    given, counts = SampledPrompts(boxes=np.array([bounding_box(square())])), []
    for number in range(1, SAM_ROUNDS + 1):
        given = sam_then(rng, given, np.zeros_like(masks), masks, number)
        counts.append(0 if given.points is None else given.points.shape[1])
        assert given.feedback and given.boxes is not None
    assert counts == [1, 2, 3, 4, 5, 5, 6, 7, 8, 8]


def test_rounds_of_sam_med2d_drop_the_box_and_end_with_the_answer_alone() -> None:
    rng, masks = np.random.default_rng(0), square()[None]
    first = [med2d_first(np.random.default_rng(seed), masks) for seed in range(40)]
    assert 10 < sum(given.boxes is None for given in first) < 30
    seen = set()
    for _ in range(20):
        for number in range(1, MED2D_ROUNDS + 1):
            given = med2d_then(rng, first[0], np.zeros_like(masks), masks, number)
            assert given.boxes is None and given.feedback
            assert given.points is None or number < MED2D_ROUNDS
            seen.add(0 if given.points is None else given.points.shape[1])
    assert seen == {0, 1, 3, 5, 9}
