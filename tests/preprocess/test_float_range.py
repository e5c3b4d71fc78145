"""Numbers that float32 cannot hold are shifted and scaled first; all others stay as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from delineate.core.intensities import IntensityStatistics
from delineate.preprocess.float_range import scan_range, within_float32

PICTURE = np.random.default_rng(0).integers(0, 200, (40, 50))


def brought(pixels: np.ndarray) -> Any:
    return within_float32(pixels, lambda: scan_range(IntensityStatistics.of(pixels)))


def never() -> tuple[float, float]:
    raise AssertionError("the scan was read")


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(PICTURE.astype(np.uint8), id="uint8"),
        pytest.param(PICTURE.astype(np.int16) - 1000, id="int16"),
        pytest.param(PICTURE.astype(np.int32) * 1000, id="int32"),
        pytest.param(PICTURE.astype(np.float32) / 255, id="float32"),
        pytest.param(PICTURE + 1000.5, id="float64"),
        pytest.param(np.full((4, 4), 3e10), id="constant"),
        pytest.param(np.where(PICTURE > 100, np.nan, PICTURE), id="nan"),
        pytest.param(np.full((4, 4), np.nan), id="all-nan"),
        pytest.param(PICTURE > 100, id="bool"),
    ],
)
def test_what_float32_can_hold_stays_as_it_is(pixels: np.ndarray) -> None:
    assert within_float32(pixels, never) is pixels


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(PICTURE + 3e10, id="offset"),
        pytest.param(PICTURE - 3e10, id="negative-offset"),
        pytest.param(PICTURE * 1e38, id="huge"),
        pytest.param((PICTURE * 1e36).astype(np.float32), id="huge-float32"),
        pytest.param(PICTURE * 1e-40, id="tiny"),
        pytest.param(PICTURE.astype(np.int64) + 2**62, id="int64"),
        pytest.param(PICTURE.astype(np.uint64) + np.uint64(2**63 + 2**62), id="uint64"),
        pytest.param(PICTURE.astype(np.int64) - 2**62, id="negative-int64"),
        pytest.param(PICTURE.astype(np.uint32) + np.uint32(2**32 - 300), id="uint32"),
    ],
)
def test_contrast_survives_any_offset_and_scale(pixels: np.ndarray) -> None:
    found = brought(pixels)
    assert found.dtype == np.float32 and np.isfinite(found).all()
    assert np.corrcoef(found.ravel(), PICTURE.ravel())[0, 1] > 0.9999


def test_frames_of_a_scan_are_brought_the_same_way() -> None:
    scan = np.stack([PICTURE, PICTURE // 2]) + 3e10
    one, other = (within_float32(frame, lambda: scan_range(IntensityStatistics.of(scan))) for frame in scan)
    np.testing.assert_allclose(other, np.round(one * 199) // 2 / 199, atol=0.02)


@pytest.mark.parametrize("filling", [-3.4028235e38, 1e35])
def test_values_that_fill_gaps_are_no_values(filling: float) -> None:
    pixels = PICTURE.astype(np.float32)
    pixels[0] = filling
    found = within_float32(pixels, lambda: (0.0, 199.0))
    assert np.isnan(found[0]).all() and np.array_equal(found[1:], pixels[1:])
