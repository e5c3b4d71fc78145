"""Comparing: known overlaps and distances, on grids of all kinds; what belongs together."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.errors import InputError
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.evaluation.outline_metrics import outline_scores
from delineate.labels.compare import compare, difference, pairs
from delineate.labels.reading import LabelFile
from label_shapes import STEPS, ball, grid_around, image_of, pixel_grid, volume_of

SAME = [("a", "a", "a")]


@pytest.mark.parametrize("kind", STEPS)
def test_a_ball_in_a_larger_one_is_so_far_from_it(kind: str) -> None:
    grid = grid_around(STEPS[kind], 14)
    (found,) = compare(volume_of(grid, a=ball(grid, 12)), volume_of(grid, a=ball(grid, 9)), SAME)
    assert found.hd95 == pytest.approx(3, abs=1.0) and found.assd == pytest.approx(3, abs=0.7)
    assert found.dice == pytest.approx(2 * 9**3 / (9**3 + 12**3), abs=0.02)
    assert found.percent == pytest.approx(100 * (9**3 / 12**3 - 1), abs=2) and found.unit == "ml"
    near, far = (
        compare(volume_of(grid, a=ball(grid, 12)), volume_of(grid, a=ball(grid, 9)), SAME, t)[0].nsd for t in (1.0, 4.5)
    )
    assert near < 0.1 and far > 0.97


@pytest.mark.parametrize("kind", ["even", "anisotropic", "oblique"])
def test_numbers_are_those_of_evaluate(kind: str) -> None:
    grid = grid_around(STEPS[kind], 9)
    a, b = ball(grid, 8), ball(grid, 8, (12, -20, 30))
    (found,) = compare(volume_of(grid, a=a), volume_of(grid, a=b), SAME)
    expected = outline_scores(a, b, grid.spacing)
    assert {key: getattr(found, key) for key in ("dice", "iou", "nsd", "hd95")} == pytest.approx(expected)


def test_empty_and_missing() -> None:
    grid = pixel_grid((6, 6, 6))
    nothing, block = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    block[1:4, 1:4, 1:4] = True
    both = compare(volume_of(grid, a=nothing), volume_of(grid, a=nothing), SAME)[0]
    assert (both.dice, both.nsd, both.hd95, both.percent) == (1, 1, 0, None)
    lost = compare(volume_of(grid, a=block), volume_of(grid, b=block), [("a", "a", None)])[0]
    assert (lost.dice, lost.nsd, lost.percent) == (0, 0, -100) and np.isinf(lost.hd95)
    assert lost.row()["hd95"] is None and lost.row()["assd"] is None


def test_frames_of_a_video_are_compared_within_themselves() -> None:
    scan = Scan.from_frames(np.zeros((3, 20, 20), np.uint8))
    square = np.zeros((20, 20), bool)
    square[4:12, 4:12] = True
    first = Segmentation.empty(scan).adding("a").with_masks("a", {n: Rle.encode(square) for n in range(3)})
    second = first.with_masks("a", {1: Rle.encode(np.roll(square, 2, 0))})
    (found,) = compare(first, second, SAME)
    assert found.hd95 == 2 and found.unit == "pixels"


def file_of(outlines: Segmentation, named: bool) -> LabelFile:
    scan = Scan.from_volume(np.zeros(outlines.grid.shape, np.uint8), outlines.grid)
    return LabelFile(scan, outlines, named)


def test_what_belongs_together() -> None:
    grid = pixel_grid((4, 4, 4))
    full = np.ones(grid.shape, bool)
    named = file_of(volume_of(grid, liver=full, spleen=full), True)
    other = file_of(volume_of(grid, spleen=full, kidney=full), True)
    numbered = file_of(volume_of(grid, **{"label 1": full, "label 2": full}), False)
    single = file_of(volume_of(grid, lesion=full), True)
    assert pairs(named, other) == [("liver", "liver", None), ("spleen", "spleen", "spleen"), ("kidney", None, "kidney")]
    assert pairs(named, numbered) == [("liver", "liver", "label 1"), ("spleen", "spleen", "label 2")]
    assert pairs(numbered, named) == [("liver", "label 1", "liver"), ("spleen", "label 2", "spleen")]
    assert pairs(single, file_of(volume_of(grid, tumor=full), True)) == [("lesion", "lesion", "tumor")]


def test_the_picture_tells_three_places_apart() -> None:
    grid = pixel_grid((6, 6, 3))
    a, b = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    a[0:4], b[2:6] = True, True
    found = difference(volume_of(grid, a=a), volume_of(grid, a=b), SAME, ("one", "two"))
    assert found.names == ("both", "only one", "only two")
    assert [one.area for one in found.objects] == [36, 36, 36]


def test_a_tolerance_below_zero_is_refused() -> None:
    one = image_of(np.ones((4, 4), bool))
    with pytest.raises(InputError, match="below 0"):
        compare(one, one, SAME, -1)
