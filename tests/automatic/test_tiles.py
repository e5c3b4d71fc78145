"""Everything on a picture too large to be seen at once: tiles, an overview, nothing twice, little memory."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from delineate.automatic import AutomaticSettings, generate, generate_masks
from delineate.automatic.suppression import keep_best_masks
from delineate.automatic.tiles import overview, tiles
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.rle import Rle
from peak_memory import linux_only, peak_mib

DISCS = ((60, 70, 40), (300, 250, 120), (500, 90, 12), (380, 440, 30), (128, 300, 20))  # x, y, radius
VALUES = (37, 83, 127, 173, 211)  # no mean at the rim of one is another
HEIGHT, WIDTH = 480, 600


def disc(x: int, y: int, r: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 < r * r)


class KnowsDiscs:
    """Answers a click with all that has the value under it; remembers the largest picture it was shown."""

    record = ModelRecord(name="discs", version="1", sha256="", license="Apache-2.0")

    def __init__(self) -> None:
        self.largest = 0

    def encode(self, frame: Frame) -> NDArray[Any]:
        self.largest = max(self.largest, frame.pixels.size)
        return np.asarray(frame.pixels)

    def decode_clicks(
        self, features: NDArray[Any], points: NDArray[np.float64], offset: float
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        values = [features[int(y), int(x)] for x, y in points]
        masks = np.array([features == value for value in values])
        return masks, np.array([0.95 * (v in VALUES) for v in values], np.float32), np.ones(len(values), np.float32)


def picture() -> NDArray[np.uint8]:
    out = np.zeros((HEIGHT, WIDTH), np.uint8)
    for n, place in enumerate(DISCS):
        out[disc(*place)] = VALUES[n]
    return out


@pytest.fixture
def tiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "TILED_ABOVE", 256)


@pytest.mark.usefixtures("tiled")
def test_each_disc_is_found_once_whatever_its_size() -> None:
    predictor = KnowsDiscs()
    found = generate_masks(predictor, Frame.of(picture()), AutomaticSettings(points_per_side=16, tile=160))
    assert predictor.largest <= 160 * 160
    areas = [one.mask.area for one in found]
    wanted = sorted((int(disc(*place).sum()) for place in DISCS), reverse=True)
    assert len(areas) == len(DISCS) and areas == sorted(areas, reverse=True)
    assert np.allclose(areas, wanted, rtol=0.15)  # the larger ones are seen on the overview alone
    for one in found:
        mask = one.mask.decode()
        best = max(DISCS, key=lambda place: int((disc(*place) & mask).sum()))
        iou = (disc(*best) & mask).sum() / (disc(*best) | mask).sum()
        assert iou == 1 if best[2] <= 20 else iou > 0.85
        rows, columns = np.nonzero(mask)
        exact = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert max(abs(a - b) for a, b in zip(one.box, exact, strict=True)) == 0


def test_a_picture_of_ordinary_size_is_not_tiled() -> None:
    predictor = KnowsDiscs()
    plain = generate_masks(predictor, Frame.of(picture()), AutomaticSettings(tile=0))
    assert predictor.largest == HEIGHT * WIDTH
    same = generate_masks(KnowsDiscs(), Frame.of(picture()))
    assert [(a.mask, a.box, a.click) for a in plain] == [(b.mask, b.box, b.click) for b in same]


@pytest.mark.parametrize("size", [(100, 100), (100, 161), (480, 600), (1, 1000)])
def test_tiles_cover_the_picture_and_overlap(size: tuple[int, int]) -> None:
    covered = np.zeros(size, int)
    boxes = list(tiles(*size, 160, 0.25))
    for x0, y0, x1, y1 in boxes:
        assert (x1 - x0, y1 - y0) == (min(160, size[1]), min(160, size[0]))
        covered[y0:y1, x0:x1] += 1
    assert covered.min() >= 1
    starts = sorted({x0 for x0, *_ in boxes})
    assert all(b - a <= 120 for a, b in pairwise(starts))


@pytest.mark.parametrize("channels", [(), (3,)])
def test_an_overview_is_the_mean_of_squares(channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (23, 31, *channels), dtype=np.uint8)
    small, factor = overview(pixels, 10)
    assert factor == 4 and small.shape == (5, 7, *channels) and small.dtype == np.uint8
    assert np.array_equal(small[2, 3], pixels[8:12, 12:16].mean(axis=(0, 1)).astype(np.uint8))


def test_outlines_of_one_thing_in_different_boxes_are_one() -> None:
    """Their boxes differ by a thread, their pixels hardly."""
    body = np.zeros((60, 60), bool)
    body[20:40, 20:40] = True
    thread = body.copy()
    thread[20, :] = thread[:, 20] = True
    apart = np.zeros((60, 60), bool)
    apart[45:55, 22:38] = True
    encoded = [Rle.encode(mask) for mask in (body, thread, apart)]
    boxes = np.array([rle.box for rle in encoded])
    assert keep_best_masks(encoded, boxes, np.array([0.9, 0.8, 0.7]), 0.7) == [0, 2]


@linux_only
def test_memory_grows_with_a_tile_not_with_the_picture() -> None:
    """5000 x 5000 with 64 clicks at once: 4.8 GB of masks, were they as large as the picture."""
    prepare = """
import numpy as np
from delineate.automatic import AutomaticSettings, generate_masks
from delineate.core.frame import Frame
class Squares:
    class record: name = "squares"
    def encode(self, frame): return frame.pixels
    def decode_clicks(self, features, points, offset):
        masks = np.zeros((3 * len(points), *features.shape[:2]), bool)
        for n, (x, y) in enumerate(points.astype(int)):
            masks[3 * n, y // 64 * 64 + 8:y // 64 * 64 + 40, x // 64 * 64 + 8:x // 64 * 64 + 40] = True
        return masks, np.tile([0.95, 0.1, 0.1], len(points)), np.ones(3 * len(points))
frame = Frame.of(np.zeros((5000, 5000), np.uint8))
"""
    code = "assert len(generate_masks(Squares(), frame, AutomaticSettings(points_per_side=8, tile=512))) > 500"
    assert peak_mib(code, prepare) < 250
