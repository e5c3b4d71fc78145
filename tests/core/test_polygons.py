"""Polygons as masks: the rule is that a pixel is in where its middle is."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.errors import PromptError
from delineate.core.polygons import filled_polygon
from delineate.core.prompts import Lasso
from delineate.core.resolve import resolve_prompt
from delineate.core.scan import Scan
from delineate.data.coco import drawn


def by_middles(corners: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each middle by itself: how often a ray to the left crosses the outline."""
    mask = np.zeros((height, width), bool)
    edges = list(zip(corners, np.roll(corners, -1, 0), strict=True))
    for y, x in np.ndindex(height, width):
        for (x0, y0), (x1, y1) in edges:
            if min(y0, y1) <= y < max(y0, y1) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                mask[y, x] ^= True
    return mask


@pytest.mark.parametrize("seed", range(12))
def test_the_middle_decides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-6, 26, (int(rng.integers(3, 12)), 2))
    if seed % 3 == 0:
        corners = np.round(corners)  # middles on the outline
    assert np.array_equal(filled_polygon(corners, 20, 22), by_middles(corners, 20, 22))


@pytest.mark.parametrize("radius", [3, 5, 10, 30])
def test_areas_are_true(radius: int) -> None:
    """Regular polygons of 40 corners, 40 places each: within 1.5 % on average (20 to 36 pixels each at radius 3)."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    areas = []
    for k in range(40):
        x, y = np.random.default_rng(k).uniform(35, 45, 2)
        polygon = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], 1).ravel().tolist()
        areas.append(int(drawn([polygon], 80, 80, "it").sum()))
    assert np.mean(areas) == pytest.approx(20 * radius**2 * np.sin(np.pi / 20), rel=0.015)


def test_neighbors_share_no_pixel_and_leave_none() -> None:
    left = np.array([[0, 0], [7.5, 0], [4.25, 20], [0, 20.0]])
    right = np.array([[7.5, 0], [20, 0], [20, 20], [4.25, 20.0]])
    both = filled_polygon(left, 20, 20).astype(int) + filled_polygon(right, 20, 20)
    assert (both == 1).all()


def test_a_lasso_has_the_area_that_is_drawn() -> None:
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    points = tuple((float(20 + 4 * np.cos(t)), float(20 + 4 * np.sin(t))) for t in turn)
    mask = resolve_prompt(Lasso(points=points), Scan.from_image(np.zeros((40, 40), np.uint8))).prompts.mask
    assert mask is not None and mask.sum() == pytest.approx(np.pi * 16, rel=0.1)


def test_a_lasso_of_nothing_is_refused() -> None:
    with pytest.raises(PromptError) as caught:
        resolve_prompt(Lasso(points=((1.2, 1.2), (1.4, 1.2), (1.4, 1.4))), Scan.from_image(np.zeros((9, 9), np.uint8)))
    assert caught.value.code == "E-LASSO-EMPTY"


@pytest.mark.parametrize(
    "outline",
    [
        [[1, 2, np.nan, 4, 5, 6]],
        [[1, 2, np.inf, 4, 5, 6]],
        [["a"] * 6],
        [[1, 2, 3, 4]],
        [5],
        5,
        {"size": [2]},
        {"size": [80, 80], "counts": [2**70]},
    ],
)
def test_what_is_no_outline_is_refused(outline: object) -> None:
    from delineate.core.errors import InputError

    with pytest.raises(InputError) as caught:
        drawn(outline, 80, 80, "annotation 3")
    assert caught.value.code in ("E-COCO-OUTLINE", "E-COCO-SIZE")
