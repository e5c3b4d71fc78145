"""Run lengths: what is computed from runs is what the masks themselves would give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from delineate.core.rle import Rle

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@st.composite
def masks(draw: Any, count: int = 1) -> list[NDArray[np.bool_]]:
    shape = draw(SIZES)
    return [draw(arrays(bool, shape)) for _ in range(count)]


@given(masks())
def test_the_box_is_that_of_the_pixels(drawn: list[NDArray[np.bool_]]) -> None:
    (mask,) = drawn
    rows, columns = np.nonzero(mask)
    wanted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None
    assert Rle.encode(mask).box == wanted


@given(masks(), st.integers(0, 9), st.integers(0, 9))
def test_columns_are_a_part_of_the_mask(drawn: list[NDArray[np.bool_]], one: int, other: int) -> None:
    (mask,) = drawn
    first, stop = sorted((min(one, mask.shape[1]), min(other, mask.shape[1])))
    assert np.array_equal(Rle.encode(mask).columns(first, stop), mask[:, first:stop])


@given(masks(2))
def test_two_masks_together(drawn: list[NDArray[np.bool_]]) -> None:
    a, b = drawn
    one, other = Rle.encode(a), Rle.encode(b)
    assert one.intersection(other) == int((a & b).sum())
    assert one.union(other) == Rle.encode(a | b)


@given(masks(), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_a_mask_is_placed_in_a_larger_one(
    drawn: list[NDArray[np.bool_]], x: int, y: int, right: int, below: int
) -> None:
    (mask,) = drawn
    whole = np.pad(mask, ((y, below), (x, right)))
    assert Rle.encode(mask).placed(x, y, *whole.shape) == Rle.encode(whole)


@given(masks(), st.integers(1, 4))
def test_a_mask_is_enlarged(drawn: list[NDArray[np.bool_]], factor: int) -> None:
    (mask,) = drawn
    assert Rle.encode(mask).enlarged(factor) == Rle.encode(mask.repeat(factor, 0).repeat(factor, 1))


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_of_one_value(value: bool) -> None:
    mask = np.full((3, 4), value)
    rle = Rle.encode(mask)
    assert rle.union(rle) == rle and rle.intersection(rle) == rle.area == 12 * value
