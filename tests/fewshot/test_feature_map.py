"""Grids over frames: masks go to cells and scores come back to where they were."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.fewshot.descriptors import whitening_of
from delineate.fewshot.feature_map import FeatureGrid, FeatureMap
from delineate.preprocess.fitting import Fit, fitted

GRIDS = {
    "covers the frame": FeatureGrid.stretched(60, 90, 16, 16),
    "finer than pixels": FeatureGrid.stretched(20, 24, 48, 48),
    "letterbox": FeatureGrid.fitted(fitted(300, 400, 256, Fit.LONGEST_SIDE), 64, 64),
    "padded all around": FeatureGrid.fitted(fitted(40, 60, 256, Fit.CENTER), 64, 64),
    "squashed": FeatureGrid.fitted(fitted(100, 300, 256, Fit.SQUARE), 64, 64),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_a_mask_goes_to_the_grid_with_its_area_and_its_place(grid: FeatureGrid) -> None:
    mask = np.zeros((grid.height, grid.width), bool)
    mask[grid.height // 4 : grid.height // 2, grid.width // 3 : grid.width // 2] = True
    cells = grid.to_grid(mask)
    assert cells.shape == (grid.rows, grid.columns)
    assert cells.sum() == pytest.approx(mask.sum() * grid.scale[0] * grid.scale[1], rel=1e-4)
    rows, columns = np.mgrid[: grid.rows, : grid.columns] + 0.5
    y, x = (cells * rows).sum() / cells.sum(), (cells * columns).sum() / cells.sum()
    true_y, true_x = np.argwhere(mask).mean(axis=0) + 0.5
    assert (y - grid.origin[0]) / grid.scale[0] == pytest.approx(true_y, abs=0.51 / grid.scale[0])
    assert (x - grid.origin[1]) / grid.scale[1] == pytest.approx(true_x, abs=0.51 / grid.scale[1])


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_scores_come_back_where_they_were(grid: FeatureGrid) -> None:
    y, x = np.mgrid[: grid.height, : grid.width]
    blob = np.exp(-((y - grid.height * 0.4) ** 2 + (x - grid.width * 0.6) ** 2) / (grid.height / 5) ** 2)
    back = grid.to_frame(grid.to_grid(blob) / np.maximum(grid.inside, 1e-6))
    assert back.shape == blob.shape
    assert np.abs(back - blob).max() < 0.15
    assert np.unravel_index(back.argmax(), back.shape) == pytest.approx((grid.height * 0.4, grid.width * 0.6), abs=5)


def test_inside_is_what_is_no_padding() -> None:
    grid = GRIDS["letterbox"]
    assert grid.inside[:48].min() == pytest.approx(1, abs=1e-4)
    assert grid.inside[48:].max() == 0


def test_unit_vectors_have_length_one_and_zeros_stay() -> None:
    values = np.random.default_rng(0).normal(size=(5, 4, 4)).astype(np.float32)
    values[:, 0, 0] = 0
    unit = FeatureMap(values, FeatureGrid.stretched(4, 4, 4, 4)).unit
    lengths = np.linalg.norm(unit, axis=0)
    assert lengths[0, 0] == 0
    assert np.allclose(lengths.ravel()[1:], 1, atol=1e-5)


def test_whitening_draws_the_variances_of_features_halfway_together() -> None:
    random = np.random.default_rng(0)
    spread = np.array([30.0, 3.0, 1.0], np.float32)
    values = random.normal(0, 1, (3, 32, 32)).astype(np.float32) * spread[:, None, None]
    one = FeatureMap(values, FeatureGrid.stretched(64, 64, 32, 32))
    white = whitening_of([one, one], cells=32)
    flat = white @ (values - values.mean(axis=(1, 2), keepdims=True)).reshape(3, -1)
    ratio = float(flat[0].std() / flat[1].std())
    assert ratio == pytest.approx((30 / 3) ** 0.5, rel=0.2)


def test_features_that_do_not_vary_are_whitened_to_numbers() -> None:
    one = FeatureMap(np.ones((3, 8, 8), np.float32), FeatureGrid.stretched(8, 8, 8, 8))
    assert np.isfinite(whitening_of([one], cells=8)).all()
