"""Superpixels of slices and volumes."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.errors import InputError
from delineate.data.superpixels import Method, Superpixels, body, numbered

pytest.importorskip("skimage")


def picture() -> np.ndarray:
    out = np.zeros((64, 64), np.float32)
    out[8:56, 8:56] = 120
    out[20:40, 20:40] = 200
    out[28:32, 28:32] = 0  # a hole
    return out


@pytest.mark.parametrize("method", Method)
def test_parts_are_numbered_without_gaps_and_end_at_the_body(method: Method) -> None:
    inside = body(picture())
    parts = Superpixels(method, min_size=60, size=100).of(picture(), inside)
    values = np.unique(parts)
    assert values.tolist() == list(range(len(values))) and len(values) > 2
    assert parts[0, 0] == 0 and parts[12, 12] > 0


def test_felzenszwalb_keeps_to_borders() -> None:
    parts = Superpixels(min_size=50, sigma=0.5).of(picture())
    square = np.zeros(parts.shape, bool)
    square[20:40, 20:40] = True
    shares = [square[parts == value].mean() for value in np.unique(parts[18:42, 18:42])]
    assert len(shares) > 1 and all(share < 0.1 or share > 0.9 for share in shares)


def test_slic_divides_volumes_and_felzenszwalb_does_not() -> None:
    volume = np.stack([picture()] * 6)
    parts = Superpixels(Method.SLIC, size=400).of(volume)
    deep = [np.flatnonzero((parts == value).any(axis=(1, 2))).size for value in np.unique(parts)]
    assert parts.shape == volume.shape and max(deep) > 1
    with pytest.raises(InputError, match="slic"):
        Superpixels().of(volume)


def test_the_body_is_the_largest_part_without_holes() -> None:
    shown = picture()
    shown[0:2, 0:2] = 90  # a table
    inside = body(shown)
    assert inside[30, 30] and not inside[0, 0] and inside.sum() == 48 * 48
    assert not body(np.zeros((8, 8))).any()


def test_numbers_follow_from_one() -> None:
    assert numbered(np.array([[7, 7, 9], [2, 2, 9]])).tolist() == [[2, 2, 3], [1, 1, 3]]
