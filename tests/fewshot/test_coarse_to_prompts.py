"""Components of a coarse mask and the prompts that are made of them."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.frame import Frame
from delineate.fewshot.coarse_to_prompts import (
    KeptComponents,
    MaskSelection,
    PointMode,
    PromptOptions,
    coarse_to_prompts,
    probabilities,
    refined,
)
from delineate.quill.predictor import QuillPredictor


def two_parts() -> np.ndarray:
    """A large part that is doubtful, a small one that is certain."""
    probability = np.full((40, 60), 0.02, np.float32)
    probability[5:25, 5:30] = 0.6
    probability[30:35, 45:55] = 0.99
    probability[8, 9] = 0.9
    return probability


def test_each_component_has_its_box_and_its_points() -> None:
    large, small = coarse_to_prompts(two_parts())
    assert large.prompts.box == (5, 5, 30, 25)
    assert small.prompts.box == (45, 30, 55, 35)
    assert large.prompts.points.tolist() == [[9, 8], [17, 14.5]]
    assert large.prompts.labels.all()
    assert large.confidence > small.confidence


def test_confidences_sum_to_the_mean_probability() -> None:
    probability = two_parts()
    total = sum(component.confidence for component in coarse_to_prompts(probability))
    assert total == pytest.approx(probability[probability > 0.5].mean(), rel=1e-4)


@pytest.mark.parametrize("components", [KeptComponents.LARGEST, KeptComponents.MOST_CONFIDENT])
def test_one_component_is_kept(components: KeptComponents) -> None:
    (only,) = coarse_to_prompts(two_parts(), PromptOptions(components))
    assert only.mask.sum() == 20 * 25


def test_parts_that_touch_at_a_corner_are_one() -> None:
    assert len(coarse_to_prompts(np.eye(4, dtype=np.float32))) == 1


def test_a_centroid_may_lie_outside_and_is_moved_in_if_wanted() -> None:
    horseshoe = np.ones((21, 21), np.float32)
    horseshoe[:15, 5:16] = 0
    options = PromptOptions(points=PointMode.CENTROID)
    (as_published,), (moved,) = (
        coarse_to_prompts(horseshoe, one) for one in (options, PromptOptions(points=PointMode.CENTROID, inside=True))
    )
    x, y = np.rint(as_published.prompts.points[0]).astype(int)
    assert not horseshoe[y, x]
    x, y = moved.prompts.points[0].astype(int)
    assert horseshoe[y, x]


def test_negative_points_lie_off_every_component_the_second_beside_its_own() -> None:
    options = PromptOptions(negatives=True, components=KeptComponents.LARGEST)
    (component,) = coarse_to_prompts(two_parts(), options)
    negative = component.prompts.points[~component.prompts.labels].astype(int)
    assert len(negative) == 2
    assert (two_parts()[negative[:, 1], negative[:, 0]] < 0.5).all()
    x, y = negative[1]
    assert -5 <= x < 40 and y < 35


def test_an_empty_prediction_gives_no_prompts() -> None:
    assert coarse_to_prompts(np.zeros((10, 10), np.float32)) == []


def test_small_components_are_dropped() -> None:
    assert len(coarse_to_prompts(two_parts(), PromptOptions(min_area=60))) == 1


def test_probabilities_of_two_logits() -> None:
    logits = np.array([[[0.0, 300.0]], [[2.0, -300.0]]])
    assert probabilities(logits)[0] == pytest.approx([1 / (1 + np.exp(-2)), 0])


def test_components_are_refined_by_a_promptable_model() -> None:
    y, x = np.mgrid[:96, :128]
    disc = (y - 40) ** 2 + (x - 50) ** 2 < 20**2
    frame = Frame.of((disc + np.random.default_rng(0).normal(0, 0.1, disc.shape)).astype(np.float32))
    coarse = np.zeros(disc.shape, np.float32)
    coarse[22:58, 32:70] = 1
    quill = QuillPredictor(threads=1)
    components = coarse_to_prompts(coarse, PromptOptions(points=None))
    for selection in MaskSelection:
        ((mask, score),) = refined(quill, quill.encode(frame), components, selection)
        assert 0 < score <= 1
        assert (mask & disc).sum() / (mask | disc).sum() > (coarse.astype(bool) & disc).sum() / coarse.sum()
