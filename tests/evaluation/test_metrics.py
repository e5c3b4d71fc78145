"""Overlap, surface and video measures against known values, brute force and other libraries."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.evaluation.metrics import Metric, boundary_f, dice, frame_scores, iou
from delineate.evaluation.outline_metrics import outline_scores
from delineate.evaluation.surface import SurfaceDistances, piece_sizes


def square(top: int, left: int, size: int, shape: tuple[int, int] = (24, 24)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + size, left : left + size] = True
    return mask


EMPTY = np.zeros((24, 24), dtype=bool)
SOME = square(4, 4, 10)


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        pytest.param(SOME, SOME, {"dice": 1, "iou": 1, "nsd": 1, "hd95": 0}, id="same"),
        pytest.param(EMPTY, EMPTY, {"dice": 1, "iou": 1, "nsd": 1, "hd95": 0}, id="both-empty"),
        pytest.param(SOME, EMPTY, {"dice": 0, "iou": 0, "nsd": 0, "hd95": np.inf}, id="missed"),
        pytest.param(EMPTY, SOME, {"dice": 0, "iou": 0, "nsd": 0, "hd95": np.inf}, id="invented"),
        pytest.param(SOME, square(4, 9, 10), {"dice": 0.5, "iou": 1 / 3, "hd95": 5}, id="half-shifted"),
    ],
)
def test_scores_of_simple_outlines(truth: np.ndarray, predicted: np.ndarray, expected: dict[str, float]) -> None:
    scores = outline_scores(truth, predicted, (1.0, 1.0))
    assert {name: scores[Metric(name)] for name in expected} == pytest.approx(expected)


def test_a_whole_frame_has_a_border_too() -> None:
    full = np.ones((6, 8), dtype=bool)
    distances = SurfaceDistances.between(full, full, (1.0, 1.0))
    # The contour runs through the centers between the last pixels and the outside, its four corners cut off.
    assert distances.truth_sizes.sum() == pytest.approx(2 * 5 + 2 * 7 + 4 * np.sqrt(0.5))


@pytest.mark.parametrize(
    ("code", "spacing", "size"),
    [
        pytest.param(0b00000001, (1, 1, 1), np.sqrt(3) / 8, id="corner"),
        pytest.param(0b11111110, (1, 1, 1), np.sqrt(3) / 8, id="corner-inside-out"),
        pytest.param(0b00001111, (2, 3, 5), 15, id="flat-across-first-axis"),
        pytest.param(0b00110011, (2, 3, 5), 10, id="flat-across-second-axis"),
        pytest.param(0b01010101, (2, 3, 5), 6, id="flat-across-third-axis"),
        pytest.param(0b0001, (3, 4), 2.5, id="2d-corner"),
        pytest.param(0b0110, (3, 4), 5, id="2d-diagonal"),
        pytest.param(0b0011, (3, 4), 4, id="2d-along-columns"),
        pytest.param(0b0101, (3, 4), 3, id="2d-along-rows"),
    ],
)
def test_piece_sizes(code: int, spacing: tuple[float, ...], size: float) -> None:
    assert piece_sizes(tuple(float(s) for s in spacing))[code] == pytest.approx(size)


def test_surface_dice_uses_true_areas_and_spacing() -> None:
    """Two balls on a (2, 1, 1) mm grid: 0.738 with true surface areas, 0.508 with those who count voxels instead."""
    grid, center = np.indices((64, 64, 64)), np.reshape([32, 31, 32], (3, 1, 1, 1))
    truth = ((grid - center) ** 2).sum(axis=0) < 30**2
    predicted = np.roll(truth, 2, axis=1)
    distances = SurfaceDistances.between(truth, predicted, (2.0, 1.0, 1.0))
    assert dice(truth, predicted) == pytest.approx(0.950, abs=5e-4)
    assert distances.within(1.0) == pytest.approx(0.738, abs=5e-4)
    assert distances.hausdorff(0.95) == pytest.approx(2.0)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.4, 2.5), (3.0, 1.0, 0.7)], ids=str)
def test_distances_agree_with_brute_force(spacing: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    truth, predicted = (rng.random((2, *[9] * len(spacing))) > 0.7).astype(bool)
    found = SurfaceDistances.between(truth, predicted, spacing)

    def cells(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, 1)
        cuts = {at: padded[tuple(slice(o, o + 2) for o in at)] for at in product(*(range(n - 1) for n in padded.shape))}
        return np.array([at for at, cell in cuts.items() if cell.any() and not cell.all()]) * spacing

    one, other = cells(truth), cells(predicted)
    expected = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=-1))
    np.testing.assert_allclose(np.sort(found.truth_to_predicted), np.sort(expected.min(axis=1)), atol=1e-9)
    np.testing.assert_allclose(np.sort(found.predicted_to_truth), np.sort(expected.min(axis=0)), atol=1e-9)


def test_overlap_agrees_with_simpleitk() -> None:
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(5)
    truth, predicted = rng.random((2, 12, 14, 16)) > 0.6
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (truth, predicted)))
    assert dice(truth, predicted) == pytest.approx(overlap.GetDiceCoefficient())
    assert iou(truth, predicted) == pytest.approx(overlap.GetJaccardCoefficient())


def test_hausdorff_of_shifted_boxes_in_millimeters_agrees_with_simpleitk() -> None:
    sitk = pytest.importorskip("SimpleITK")
    truth, predicted = np.zeros((2, 20, 20, 20), dtype=bool)
    truth[4:10, 4:12, 5:9] = predicted[7:13, 4:12, 5:9] = True
    spacing = (2.5, 1.0, 0.5)
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (truth, predicted)]
    for image in images:
        image.SetSpacing(spacing[::-1])
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images)
    ours = SurfaceDistances.between(truth, predicted, spacing)
    assert ours.hausdorff(1.0) == pytest.approx(hausdorff.GetHausdorffDistance()) == pytest.approx(7.5)


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        pytest.param(SOME, SOME, 1.0, id="same"),
        pytest.param(EMPTY, EMPTY, 1.0, id="both-empty"),
        pytest.param(SOME, EMPTY, 0.0, id="missed"),
        pytest.param(EMPTY, SOME, 0.0, id="invented"),
        pytest.param(SOME, square(5, 4, 10), 1.0, id="one-pixel-off-is-near"),
        pytest.param(SOME, square(17, 17, 6), 0.0, id="far"),
    ],
)
def test_boundary_f(truth: np.ndarray, predicted: np.ndarray, expected: float) -> None:
    assert boundary_f(truth, predicted) == pytest.approx(expected)
    assert frame_scores(truth, predicted)[Metric.J_AND_F] == pytest.approx(
        (iou(truth, predicted) + boundary_f(truth, predicted)) / 2
    )


def test_boundary_tolerance_grows_with_the_frame() -> None:
    small, large = square(4, 4, 30, (60, 60)), square(4, 4, 30, (600, 600))
    moved = np.roll(small, 3, axis=0), np.roll(large, 3, axis=0)
    assert boundary_f(small, moved[0]) < 0.8 < boundary_f(large, moved[1])


REFERENCE = np.load(Path(__file__).parents[1] / "references" / "metrics.npz")


@pytest.mark.parametrize("number", range(sum(name.endswith("_answers") for name in REFERENCE.files)))
def test_scores_are_those_of_other_libraries(number: int) -> None:
    """NSD at five tolerances, HD95, HD, Dice (two), Jaccard (two) of surface-distance, medpy and pycocotools."""
    shape = tuple(REFERENCE[f"{number}_shape"].tolist())
    spacing = tuple(REFERENCE[f"{number}_spacing"].tolist())
    bits = np.unpackbits(REFERENCE[f"{number}_bits"])[: 2 * int(np.prod(shape))]
    truth, predicted = bits.reshape(2, *shape).astype(bool)
    distances = SurfaceDistances.between(truth, predicted, spacing)
    found = [*map(distances.within, REFERENCE["tolerances"]), distances.hausdorff(0.95), distances.hausdorff(1.0)]
    found += [dice(truth, predicted)] * 2 + [iou(truth, predicted)] * 2
    np.testing.assert_allclose(found, REFERENCE[f"{number}_answers"], rtol=1e-12, atol=1e-12)


def as_type(mask: np.ndarray, kind: str) -> np.ndarray:
    return mask * 255 if kind == "uint8-255" else mask.astype(kind) * (3 if kind == "int16" else 1)


@pytest.mark.parametrize("kind", ["uint8", "uint8-255", "int16", "int64", "float32", "float64"])
def test_a_mask_of_any_number_type_is_the_same(kind: str) -> None:
    truth, predicted = square(4, 4, 10), square(4, 9, 10)
    expected = {**outline_scores(truth, predicted, (1.0, 2.0)), **frame_scores(truth, predicted)}
    for pair in ((as_type(truth, kind), predicted), (truth, as_type(predicted, kind))):
        assert {**outline_scores(*pair, (1.0, 2.0)), **frame_scores(*pair)} == expected


NAN = np.where(SOME, np.nan, 0.0)


@pytest.mark.parametrize("score", [dice, iou, boundary_f, lambda t, p: outline_scores(t, p, (1.0, 1.0))["nsd"]])
@pytest.mark.parametrize(
    ("truth", "predicted", "words"),
    [
        pytest.param(SOME, EMPTY[:20], "shapes", id="smaller"),
        pytest.param(SOME, SOME[:, :1], "shapes", id="would-be-stretched"),
        pytest.param(SOME, SOME[None], "shapes", id="one-axis-more"),
        pytest.param(NAN, SOME, "NaN", id="nan"),
        pytest.param(SOME, np.where(SOME, np.inf, 0), "NaN", id="infinite"),
        pytest.param(SOME, SOME.astype(complex), "complex", id="complex"),
        pytest.param(SOME, SOME.astype(str), "none", id="text"),
    ],
)
def test_masks_that_are_none_are_refused(score: Any, truth: np.ndarray, predicted: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        score(truth, predicted)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 1.0, 1.0), (1.0, 0.0), (1.0, -1.0), (np.nan, 1.0), (np.inf, 1.0)])
def test_spacings_that_are_none_are_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="spacing"):
        SurfaceDistances.between(SOME, SOME, spacing)


@pytest.mark.parametrize("tolerance", [-0.1, np.nan])
def test_tolerances_that_are_none_are_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        SurfaceDistances.between(SOME, SOME, (1.0, 1.0)).within(tolerance)
