"""Many clicks are drawn as few are, in bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from delineate.quill.prompt_maps import CLICK_SIGMA, MANY_CLICKS, _click_map

SIDE = 64


def all_at_once(places: np.ndarray) -> np.ndarray:
    axis = np.arange(SIDE)
    x, y = (np.exp(-((axis - places[:, n, None]) ** 2) / (2 * (CLICK_SIGMA * SIDE) ** 2)) for n in (0, 1))
    return (y[:, :, None] * x[:, None]).max(axis=0).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 500])
def test_drawn_in_pieces_as_at_once(count: int) -> None:
    places = np.random.default_rng(count).uniform(-10, 74, (count, 2))
    assert np.array_equal(_click_map(places, SIDE), all_at_once(places))


def test_no_clicks() -> None:
    assert not _click_map(np.zeros((0, 2)), SIDE).any()


@pytest.mark.parametrize("spread", [1.0, 1e9], ids=["in-the-crop", "far-away-too"])
def test_a_multitude_takes_no_more_memory_and_looks_the_same(spread: float) -> None:
    places = np.random.default_rng(0).uniform(0, 63, (50 * MANY_CLICKS, 2))
    places[::2] *= spread
    tracemalloc.start()
    found = _click_map(places, SIDE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6 and found.min() > 0.5
