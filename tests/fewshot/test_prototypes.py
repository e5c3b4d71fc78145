"""Prototypes, against values of the authors' module and by their properties."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.fewshot.prototypes import (
    PrototypeMode,
    PrototypeOptions,
    Shot,
    ShotReduction,
    coarse_logits,
    foreground_mode,
    local_prototypes,
    mask_prototype,
    pooled,
    scores,
)

C, Y, X = np.mgrid[:8, :8, :8].astype(np.float64)
SUPPORT = np.sin(0.3 * C + 0.7 * Y + 0.2 * X * (C + 1)).astype(np.float32)
QUERY = np.sin(0.3 * C + 0.6 * Y + 0.25 * X * (C + 1) + 0.1).astype(np.float32)
MASK = np.zeros((8, 8), np.float32)
MASK[2:6, 2:7] = 1
OPTIONS = PrototypeOptions(proto_grid=4)

GOLDEN = [  # mode, mask, score at (0, 0), (3, 4), (7, 7), mean, min, max
    (PrototypeMode.MASK, MASK, -0.52308, 12.00194, -0.41546, 0.68901, -14.6427, 14.5023),
    (PrototypeMode.GRIDCONV, 1 - MASK, 15.61699, 14.33104, 9.54237, 14.34514, 0.811, 19.6466),
    (PrototypeMode.GRIDCONV_PLUS, MASK, 4.24449, 16.44358, 2.23221, 8.77491, -2.1903, 19.825),
]


@pytest.mark.parametrize("golden", GOLDEN, ids=[row[0] for row in GOLDEN])
def test_scores_are_those_of_the_authors(golden: tuple) -> None:
    mode, mask, *expected = golden
    out = scores(QUERY, [Shot(SUPPORT, mask)], mode, 0.95, OPTIONS)
    found = [out[0, 0], out[3, 4], out[7, 7], out.mean(), out.min(), out.max()]
    assert found == pytest.approx(expected, abs=1e-4)


def test_coarse_logits_join_background_and_the_mode_of_the_foreground() -> None:
    shot = Shot(SUPPORT, MASK)
    assert foreground_mode(shot, OPTIONS) is PrototypeMode.GRIDCONV_PLUS
    background, foreground = coarse_logits(QUERY, [shot], OPTIONS)
    assert background[3, 4] == pytest.approx(14.33104, abs=1e-4)
    assert foreground[3, 4] == pytest.approx(16.44358, abs=1e-4)


def test_a_small_structure_is_compared_by_its_mean() -> None:
    small = np.zeros((8, 8), np.float32)
    small[3, 3:5] = 1
    assert foreground_mode(Shot(SUPPORT, small), OPTIONS) is PrototypeMode.MASK


def test_no_window_passes_and_the_mean_is_taken() -> None:
    thin = np.zeros((8, 8), np.float32)
    thin[3] = 1
    shot = Shot(SUPPORT, thin)
    assert len(local_prototypes(shot, (2, 2), 0.95)) == 0
    local, mean = (scores(QUERY, [shot], mode, 0.95, OPTIONS) for mode in (PrototypeMode.GRIDCONV, PrototypeMode.MASK))
    assert np.array_equal(local, mean)


@pytest.mark.parametrize("mode", list(PrototypeMode))
def test_scores_stay_within_the_temperature_and_ignore_the_scale_of_the_query(mode: PrototypeMode) -> None:
    shot = Shot(SUPPORT, MASK)
    out = scores(QUERY, [shot], mode, 0.95, OPTIONS)
    assert np.abs(out).max() <= OPTIONS.temperature + 1e-4
    assert np.allclose(out, scores(7 * QUERY, [shot], mode, 0.95, OPTIONS), atol=1e-3)


def test_of_several_shots_the_best_counts_for_the_structure_and_all_for_the_rest() -> None:
    shots = [Shot(SUPPORT, MASK), Shot(QUERY, MASK)]
    both, one, other = coarse_logits(QUERY, shots, OPTIONS), *(coarse_logits(QUERY, [s], OPTIONS) for s in shots)
    assert np.allclose(both[1], np.maximum(one[1], other[1]))
    windows = [len(local_prototypes(Shot(s.features, 1 - s.mask), (2, 2), 0.95)) for s in shots]
    joined = scores(QUERY, [Shot(s.features, 1 - s.mask) for s in shots], PrototypeMode.GRIDCONV, 0.95, OPTIONS)
    assert sum(windows) > windows[0]
    assert np.allclose(both[0], joined)


def test_shots_can_be_averaged_first() -> None:
    small = np.zeros((8, 8), np.float32)
    small[3, 3:5] = 1
    shots = [Shot(SUPPORT, small), Shot(QUERY, small)]
    options = PrototypeOptions(proto_grid=4, reduction=ShotReduction.MEAN)
    mean = np.mean([mask_prototype(shot) for shot in shots], axis=0)
    lengths = np.linalg.norm(QUERY, axis=0) * np.linalg.norm(mean)
    assert np.allclose(
        coarse_logits(QUERY, shots, options)[1], 20 * np.einsum("c,cyx->yx", mean, QUERY) / lengths, atol=1e-3
    )


def test_an_empty_mask_scores_zero_by_its_mean() -> None:
    out = scores(QUERY, [Shot(SUPPORT, np.zeros_like(MASK))], PrototypeMode.MASK, 0.95, OPTIONS)
    assert np.array_equal(out, np.zeros_like(out))


def test_rows_left_over_by_windows_are_dropped() -> None:
    assert pooled(np.ones((3, 9, 7), np.float32), (2, 2)).shape == (3, 4, 3)
    assert PrototypeOptions().train_window((73, 48)) == (9, 6)
