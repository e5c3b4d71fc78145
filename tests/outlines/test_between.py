"""Filling between slices: what was drawn stays, shapes go evenly from one to the next, others keep their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.segmentation import Segmentation
from delineate.outlines.between import fill_between
from delineate.outlines.stacks import stack_of
from label_shapes import STEPS, ball, grid_around, volume_of


def some_slices(axis: int, every: int = 4) -> tuple[Segmentation, np.ndarray, list[int]]:
    grid = grid_around(STEPS["anisotropic"], 12)
    whole = ball(grid, 10)
    drawn = np.zeros_like(whole)
    seen = np.flatnonzero(np.moveaxis(whole, axis, 0).any(axis=(1, 2)))
    numbers = [int(n) for n in (*seen[::every], seen[-1])]
    cut = np.moveaxis(drawn, axis, 0)
    cut[numbers] = np.moveaxis(whole, axis, 0)[numbers]
    return volume_of(grid, axis, a=drawn), whole, numbers


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_ball_drawn_on_some_slices_becomes_a_ball(axis: int) -> None:
    outlines, whole, numbers = some_slices(axis, 2 if axis == 2 else 4)
    found = fill_between(outlines)
    assert all(found["a"].masks[n] is outlines["a"].masks[n] for n in numbers), "drawn slices stay"
    stack = stack_of(found, "a")
    assert 2 * (stack & whole).sum() / (stack.sum() + whole.sum()) > 0.9
    assert len(found["a"].frames) == numbers[-1] - numbers[0] + 1


def test_gaps_that_are_too_large_stay() -> None:
    outlines, _, numbers = some_slices(0, 4)
    assert fill_between(outlines, largest_gap=2)["a"].frames == tuple(sorted(set(numbers)))[:] or len(
        fill_between(outlines, largest_gap=2)["a"].frames
    ) < len(fill_between(outlines)["a"].frames)
    assert fill_between(outlines, largest_gap=3)["a"].frames == fill_between(outlines)["a"].frames


def test_another_structure_keeps_its_pixels() -> None:
    outlines, whole, numbers = some_slices(0, 4)
    between = np.zeros_like(whole)
    between[numbers[1] + 1] = True
    full = volume_of(outlines.grid, 0, a=stack_of(outlines, "a"), other=between)
    found = fill_between(full, ("a",))
    assert not (stack_of(found, "a") & between).any() and found["other"].area == int(between.sum())
