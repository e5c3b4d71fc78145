"""Where prompts land in the input: the systems' own arithmetic, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.predictors.prompt_encoding import following_corners, truncated
from delineate.preprocess.fitting import Fit, fitted
from delineate.preprocess.profiles import (
    LITE_MEDSAM,
    MEDSAM,
    SAM,
    SAM_MED2D,
    Profile,
    biosam2,
    medsam2_benchmark_image,
    medsam2_video,
    sam2_image,
    sam2_video,
)

RNG = np.random.default_rng(5)
SHAPES = [(300, 420), (517, 333), (90, 120), (1024, 1024), (255, 256)]
PLACES = RNG.uniform(0, 90, (40, 2))


def sam(places: NDArray[np.float64], height: int, width: int, side: int) -> NDArray[np.float64]:
    scale = side / max(height, width)
    return places * (int(width * scale + 0.5) / width, int(height * scale + 0.5) / height)


def sam2(places: NDArray[np.float64], height: int, width: int, side: int) -> NDArray[np.float32]:
    return places.astype(np.float32) / np.array([width, height], np.float32) * np.float32(side)


RULES = {
    "SAM": (SAM, sam),
    "MedSAM": (MEDSAM, lambda p, h, w, s: p / np.array([w, h]) * s),
    "LiteMedSAM": (LITE_MEDSAM, lambda p, h, w, s: p * (s / max(h, w))),
    "SAM-Med2D": (SAM_MED2D, lambda p, h, w, s: p * (s / w, s / h)),
    "SAM 2 image": (sam2_image(1024), sam2),
    "SAM 2 video": (sam2_video(1024), sam2),
    "MedSAM2": (medsam2_video(512), sam2),
    "MedSAM2's benchmark": (medsam2_benchmark_image(1024), lambda p, h, w, s: p / np.array([w, h]) * s),
    "BioSAM 2": (biosam2(1024), sam2),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", RULES)
def test_places_are_scaled_as_the_authors_scale_them(name: str, shape: tuple[int, int]) -> None:
    profile, rule = RULES[name]
    _, place = profile.prepare(Frame.of(np.zeros(shape, np.uint8)))
    assert (place.points(PLACES) == rule(PLACES, *shape, profile.side).astype(np.float32)).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_box_of_lite_medsam_is_cut_to_whole_pixels_of_the_input(shape: tuple[int, int]) -> None:
    ratio = 256 / max(shape)
    _, place = LITE_MEDSAM.prepare(Frame.of(np.zeros(shape, np.uint8)))
    for box in RNG.integers(0, min(shape), (20, 4)):
        wanted = [int(v * ratio) for v in box]
        assert truncated(place.corners(tuple(float(v) for v in box))).ravel().tolist() == wanted


def blob(height: int, width: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:height, :width]
    return np.asarray((y - 0.6 * height) ** 2 / 0.09 + (x - 0.4 * width) ** 2 / 0.04 < min(height, width) ** 2)


def box_around(mask: NDArray[np.generic], margin: int) -> list[int]:
    rows, columns = np.nonzero(mask > 0)
    height, width = mask.shape
    return [
        max(0, columns.min() - margin),
        max(0, rows.min() - margin),
        min(width, columns.max() + margin),
        min(height, rows.max() + margin),
    ]


@pytest.mark.parametrize("shape", [(300, 420), (517, 333), (600, 600)], ids=str)
def test_lite_medsam_follows_with_the_box_of_the_outline_made_smaller_by_area(shape: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    mask, scale = blob(*shape), 256 / max(shape)
    height, width = (int(n * scale + 0.5) for n in shape)
    small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    padded = np.pad(small, ((0, 256 - height), (0, 256 - width)))
    place = fitted(*shape, 256, Fit.LONGEST_SIDE)
    assert following_corners(mask, place, 3, by_area=True).ravel().tolist() == box_around(padded, 3)


@pytest.mark.parametrize("shape", [(300, 420), (517, 333), (90, 120)], ids=str)
def test_medsam2s_benchmark_follows_with_the_box_of_the_nearest_pixels(shape: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    mask = blob(*shape)
    square = cv2.resize(mask.astype(np.uint8), (1024, 1024), interpolation=cv2.INTER_NEAREST)
    place = fitted(*shape, 1024, Fit.SQUARE)
    assert following_corners(mask, place, 5, by_area=False).ravel().tolist() == box_around(square, 5)


@pytest.mark.parametrize("profile", [SAM, LITE_MEDSAM], ids=lambda p: p.name)
def test_nothing_to_follow_is_the_whole_frame(profile: Profile) -> None:
    place = fitted(100, 200, profile.side, profile.fit)
    corners = following_corners(np.zeros((100, 200), bool), place, 5, by_area=False)
    assert corners.ravel().tolist() == [0, 0, place.inner[1], place.inner[0]]
