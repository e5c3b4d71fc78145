"""Labels transferred, structures placed, candidates weighed: on pictures where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from delineate.core.frame import Frame
from delineate.fewshot.candidates import Candidate, Origin, ShownExample, cut_of, dice_of_all, weighed
from delineate.fewshot.descriptors import Descriptors
from delineate.fewshot.label_transfer import (
    TransferOptions,
    alignment,
    carried_back,
    cosines,
    pair_weights,
    transferred,
)
from delineate.fewshot.matcher import Matcher, MatchOptions, Support
from delineate.fewshot.parts import part_middles, part_of, support_slices
from delineate.fewshot.placement import Placement, placements, warped
from delineate.quill.dense_features import QuillExtractor
from delineate.quill.predictor import SHIPPED, QuillPredictor
from fewshot.example_pictures import blob_picture

EXTRACTOR = QuillExtractor(SHIPPED, side=256, threads=1)


def described(picture: np.ndarray) -> Descriptors:
    frame = Frame.of(picture)
    return Descriptors.of(frame, EXTRACTOR.features(frame))


def weights_of(target: Descriptors, support: Descriptors) -> np.ndarray:
    return pair_weights(target, support, cosines(target, support), TransferOptions())


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.fixture(scope="module")
def support() -> tuple[np.ndarray, np.ndarray]:
    return blob_picture(0, 80, 50, 18)


@pytest.fixture(scope="module")
def target() -> tuple[np.ndarray, np.ndarray]:
    return blob_picture(1, 95, 62, 21)


def test_a_picture_is_aligned_with_itself_and_less_with_a_moved_one(support: tuple, target: tuple) -> None:
    one = described(support[0])
    assert alignment(cosines(one, one)) == pytest.approx(1, abs=1e-4)
    assert alignment(cosines(described(np.roll(target[0], 60, axis=1)), one)) < 0.7


def test_labels_go_where_the_structure_went(support: tuple, target: tuple) -> None:
    one, other = described(support[0]), described(target[0])
    (probability,) = transferred([weights_of(other, one)], [one.mask(support[1])[None]])
    assert probability.min() >= 0 and probability.max() <= 1
    assert dice(other.grid.to_frame(probability) > 0.5, target[1]) > dice(support[1], target[1])


def test_the_structure_is_placed_where_it_lies(support: tuple, target: tuple) -> None:
    one, other = described(support[0]), described(target[0])
    mask = one.mask(support[1])
    (probability,) = transferred([weights_of(other, one)], [mask[None]])
    best, *others = placements(other, one, mask, probability, TransferOptions().far)
    assert best.moved == pytest.approx((62.5 / 120, 95.5 / 150), abs=0.04)
    assert 0.9 <= best.scale <= 1.3
    assert all(best.score >= place.score for place in others)
    assert others[-1].moved == others[-1].center


def test_the_right_mask_brings_the_supports_own_back_and_a_wrong_one_does_not(support: tuple, target: tuple) -> None:
    one, other = described(support[0]), described(target[0])
    masks = np.stack([other.mask(target[1]), other.mask(np.roll(target[1], -50, axis=1))])
    right, wrong = carried_back(weights_of(other, one), masks)
    mask = one.mask(support[1])
    assert (right * mask).sum() > 2 * (wrong * mask).sum()


def test_a_placed_picture_and_its_mask_lie_where_the_placement_says() -> None:
    mask = np.zeros((60, 80), bool)
    mask[20:30, 30:50] = True
    place = Placement(1.5, (25 / 60, 40 / 80), (0.5, 0.25))
    out = warped(mask, place, (120, 160), outside=0.0)
    rows, columns = np.nonzero(out)
    assert (rows.mean() + 0.5) / 120 == pytest.approx(0.5, abs=0.01)
    assert (columns.mean() + 0.5) / 160 == pytest.approx(0.25, abs=0.01)
    assert out.sum() == pytest.approx(mask.sum() * 4 * 1.5**2, rel=0.05)
    same = Placement(1.0, (0.5, 0.5), (0.5, 0.5))
    assert np.array_equal(warped(mask, same, mask.shape, outside=0.0), mask)


def test_a_structure_is_found_outlined_and_missed_where_it_is_not(support: tuple, target: tuple) -> None:
    shown = Support(Frame.of(support[0]), {"blob": support[1]})
    matcher = Matcher(EXTRACTOR, [shown], QuillPredictor(threads=1), MatchOptions(places=2))
    match = matcher.match(Frame.of(target[0]))["blob"]
    absent = matcher.match(Frame.of(blob_picture(2, 95, 62, 21, shown=False)[0]))["blob"]
    assert dice(match.mask, target[1]) > 0.9
    assert match.similarity > absent.similarity + 0.1


def test_coarse_masks_ask_no_model(support: tuple, target: tuple) -> None:
    shown = Support(Frame.of(support[0]), {"blob": support[1]})
    coarse = Matcher(EXTRACTOR, [shown], None, MatchOptions(refine=False)).match(Frame.of(target[0]))["blob"]
    assert coarse.mask.any()
    assert 0 <= coarse.similarity <= 1


def test_support_slices_lie_in_the_middle_of_each_part() -> None:
    assert support_slices(range(10, 40)) == [15, 25, 35]
    assert support_slices([4, 5]) == [5]
    assert part_middles(range(12)) == [2, 6, 10] and part_middles([7]) == [7, 7, 7]
    assert [part_of(z, 20, 31) for z in range(20, 32)] == [0] * 4 + [1] * 4 + [2] * 4 and part_of(5, 5, 5) == 0
    assert [part_of(z, 0, 30) for z in (-3, 0, 9, 10, 20, 30, 99)] == [0, 0, 0, 1, 2, 2, 2]


def test_a_small_structure_keeps_its_area_in_the_coarse_mask(support: tuple) -> None:
    picture, mask = support
    descriptors = described(picture)
    shown = [ShownExample(Frame.of(picture), mask, descriptors, descriptors.mask(mask), np.zeros((1, 1)))]
    voted_down = 0.4 * mask.astype(np.float32)
    assert cut_of(voted_down, shown) < 0.4
    assert cut_of(mask.astype(np.float32), shown) <= 0.5
    assert cut_of(np.zeros(mask.shape, np.float32), shown) == pytest.approx(0.2)


@pytest.mark.parametrize("side", [2, 6, 400])
def test_masks_of_any_size_are_compared_on_large_frames(side: int) -> None:
    masks = [np.zeros((1500, 1500), bool) for _ in range(3)]
    masks[0][501 : 501 + side, 701 : 701 + side] = True
    masks[1][501 : 501 + side, 701 + side // 2 : 701 + side // 2 + side] = True
    masks[2][501 : 501 + 2 * side, 701 : 701 + side] = True
    found = dice_of_all(masks, masks[2].astype(np.float32))
    assert found[:, 1:].diagonal() == pytest.approx(np.ones(3))
    assert found[0] == pytest.approx([2 / 3, 1, 0.5, 2 / 3], abs=0.02)


def test_a_candidate_alone_agrees_with_the_labels(support: tuple) -> None:
    mask = support[1]
    shown = Support(Frame.of(support[0]), {"blob": mask})
    matcher = Matcher(EXTRACTOR, [shown], None, MatchOptions(refine=False))
    target = matcher.target(Frame.of(support[0]))
    example = ShownExample(
        shown.frame, mask, target.descriptors, target.descriptors.mask(mask), np.eye(target.descriptors.cells**2)
    )
    (alone,) = weighed([Candidate(mask, Origin.COARSE)], mask.astype(np.float32), target, [example])
    assert alone.agreement == alone.coarse == pytest.approx(1)
