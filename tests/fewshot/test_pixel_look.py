"""Many small parts: told from one structure, and found by what their pixels look like."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.frame import Frame
from delineate.fewshot.candidates import Origin
from delineate.fewshot.matcher import Matcher, MatchOptions, Support
from delineate.fewshot.pixel_look import PixelLook, as_shown, is_scattered
from delineate.quill.dense_features import QuillExtractor
from delineate.quill.predictor import SHIPPED


def cells(seed: int, count: int = 25, color: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs on an uneven ground, and their mask."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :150]
    mask = np.zeros(y.shape, bool)
    for down, across, radius in random.uniform((5, 5, 4), (115, 145, 8), (count, 3)):
        mask |= (y - down) ** 2 + (x - across) ** 2 < radius**2
    gray = 60 + 20 * np.sin(x / 40 + seed) + 70 * mask + random.normal(0, 8, y.shape)
    pixels = np.clip(gray, 0, 255).astype(np.uint8)
    return np.stack([pixels, pixels // 2, pixels], axis=2) if color else pixels, mask


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_cells_are_scattered_and_an_organ_with_specks_is_not() -> None:
    organ = np.zeros((100, 100), bool)
    organ[20:80, 20:80] = True
    organ[::20, 90] = True
    assert is_scattered(cells(0)[1])
    assert not is_scattered(organ)
    assert not is_scattered(np.zeros((20, 20), bool))


@pytest.mark.parametrize("color", [False, True])
def test_cells_are_found_where_they_are(color: bool) -> None:
    pixels, mask = cells(0, color=color)
    other, truth = cells(1)
    look = PixelLook.of([(Frame.of(pixels), mask)])
    assert dice(look.probability(Frame.of(other)) > 0.5, truth) > 0.9


def test_a_matcher_takes_pixels_for_cells() -> None:
    pixels, mask = cells(0)
    other, truth = cells(1)
    extractor = QuillExtractor(SHIPPED, side=256, threads=1)
    match = Matcher(extractor, [Support(Frame.of(pixels), {"cell": mask})], None, MatchOptions(refine=False)).match(
        Frame.of(other)
    )["cell"]
    assert match.origin is Origin.PIXELS
    assert dice(match.mask, truth) > 0.85
    assert 0 < match.similarity <= 1 and 0 < match.confidence <= 1


def fluorescence(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Few bright cells on black."""
    pixels, mask = cells(seed, count=10)
    return np.where(mask, pixels, pixels // 8).astype(np.uint8), mask


def test_a_stain_is_looked_at_as_the_negative_of_fluorescence_and_the_other_way_round() -> None:
    bright, mask = fluorescence(0)
    other, truth = fluorescence(1)
    dark = 255 - other
    extractor = QuillExtractor(SHIPPED, side=256, threads=1)
    matcher = Matcher(extractor, [Support(Frame.of(bright), {"cell": mask})], None, MatchOptions(refine=False))
    assert dice(matcher.match(Frame.of(dark))["cell"].mask, truth) > 0.85
    stained = Matcher(extractor, [Support(Frame.of(255 - bright), {"cell": mask})], None, MatchOptions(refine=False))
    assert dice(stained.match(Frame.of(other))["cell"].mask, truth) > 0.85


def test_a_frame_that_looks_as_shown_stays() -> None:
    frame = Frame.of(fluorescence(1)[0])
    assert as_shown(frame, [Frame.of(fluorescence(0)[0])]) is frame
    even = Frame.of(np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8))
    assert as_shown(even, [Frame.of(255 - even.pixels)]) is even  # its grays are those of its negative
