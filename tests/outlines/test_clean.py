"""Cleaning: every step by what it must give on shapes whose answer is known, on grids of all kinds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from delineate.core.clean_steps import CleanSteps
from delineate.core.errors import InputError, PromptError
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.outlines.clean import clean
from delineate.outlines.regions import _near, grow, shrink
from delineate.outlines.stacks import stack_of, steps_of, with_stack
from label_shapes import STEPS, ball, grid_around, image_of, pixel_grid, places, volume_of


def cleaned(outlines: Segmentation, name: str = "a", **steps: object) -> np.ndarray:
    found = clean(outlines, CleanSteps(**steps), (name,))  # type: ignore[arg-type]
    assert found.grid is outlines.grid and found.slice_axis == outlines.slice_axis
    return stack_of(found, name)


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("axis", [0, 2])
def test_a_ball_grows_and_shrinks_by_millimeters(kind: str, axis: int) -> None:
    grid = grid_around(STEPS[kind], 8)
    outlines = volume_of(grid, axis, a=ball(grid, 4))
    distance = np.linalg.norm(places(grid) - np.reshape((10, -20, 30), (3, 1, 1, 1)), axis=0)
    step = float(np.linalg.norm(STEPS[kind], axis=0).max())
    larger, smaller = cleaned(outlines, grow=3.0), cleaned(outlines, shrink=2.0)
    assert not larger[distance > 7 + 1e-6].any() and larger[distance < 7 - step].all()
    assert (
        not smaller[distance > 4].any() and smaller[distance < 2 - 1e-6].all() and smaller.sum() < ball(grid, 4).sum()
    )


@pytest.mark.parametrize("kind", STEPS)
def test_growing_is_exact_to_the_voxel(kind: str) -> None:
    """Against the definition: centers at most so far from a center."""
    grid = grid_around(STEPS[kind], 5)
    rng = np.random.default_rng(3)
    mask = ball(grid, 4) & (rng.random(grid.shape) < 0.05)
    at, inside = places(grid).reshape(3, -1).T, places(grid)[:, mask].T
    away = np.min(np.linalg.norm(at[:, None] - inside[None], axis=2), axis=1).reshape(grid.shape)
    np.testing.assert_array_equal(grow(mask, grid.affine[:3, :3], 2.3), away <= 2.3)
    np.testing.assert_array_equal(shrink(~mask, grid.affine[:3, :3], 2.3), ~(away <= 2.3))


def test_both_ways_of_growing_agree() -> None:
    mask = np.random.default_rng(0).random((9, 8, 7)) < 0.02
    nearly = np.diag([1.0, 0.8, 1.7])
    nearly[0, 1] = 2e-3  # sheared by more than a right angle may be off, and by less than any voxel notices
    np.testing.assert_array_equal(_near(mask, nearly, 2.45), _near(mask, np.diag([1.0, 0.8, 1.7]), 2.45))


def test_largest_and_islands() -> None:
    grid = grid_around(STEPS["anisotropic"], 10)
    big, small = ball(grid, 4, (6, -20, 30)), ball(grid, 2, (16, -20, 30))
    speck = ball(grid, 0.9, (10, -12, 30))
    outlines = volume_of(grid, a=big | small | speck)
    np.testing.assert_array_equal(cleaned(outlines, largest=True), big)
    ml = small.sum() * grid.voxel_volume / 1000
    np.testing.assert_array_equal(cleaned(outlines, islands=ml), big | small)
    np.testing.assert_array_equal(cleaned(outlines, islands=ml * 1.01), big)
    assert not cleaned(outlines, islands=1e6).any()


def test_holes_in_space_and_in_slices() -> None:
    grid = pixel_grid((12, 12, 6))
    block = np.zeros(grid.shape, bool)
    block[2:10, 2:10, 1:5] = True
    tunnel = block.copy()
    tunnel[5:7, 5:7, :] = False  # open above and below
    cavity = block.copy()
    cavity[5:7, 5:7, 2:4] = False
    assert (cleaned(volume_of(grid, a=tunnel), holes=True) == tunnel).all()
    np.testing.assert_array_equal(cleaned(volume_of(grid, a=tunnel), holes_in_slices=True), block)
    np.testing.assert_array_equal(cleaned(volume_of(grid, a=cavity), holes=True), block)


def test_a_hole_that_is_another_structure_stays_its() -> None:
    """The cavity in a muscle is not the muscle's."""
    grid = pixel_grid((12, 12, 6))
    wall = np.zeros(grid.shape, bool)
    wall[2:10, 2:10, 1:5] = True
    cavity = np.zeros(grid.shape, bool)
    cavity[4:8, 4:8, 2:4] = True
    outlines = volume_of(grid, wall=wall & ~cavity, cavity=cavity)
    found = clean(outlines, CleanSteps(holes=True, grow=1.0), ("wall",))
    np.testing.assert_array_equal(stack_of(found, "cavity"), cavity)
    assert not (stack_of(found, "wall") & cavity).any()


@pytest.mark.parametrize("kind", ["anisotropic", "oblique"])
def test_smoothing_takes_off_bumps_and_keeps_the_volume(kind: str) -> None:
    grid = grid_around(STEPS[kind], 12)
    clean_ball = ball(grid, 10)
    rough = clean_ball ^ ((np.random.default_rng(1).random(grid.shape) < 0.3) & ball(grid, 11) & ~ball(grid, 9))
    found = cleaned(volume_of(grid, a=rough), smooth=2.0)
    assert abs(found.sum() - rough.sum()) <= 0.01 * rough.sum()
    assert (found ^ clean_ball).sum() < 0.5 * (rough ^ clean_ball).sum()


def test_two_that_grow_meet_in_the_middle() -> None:
    grid = pixel_grid((21, 5, 5))
    left, right = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    left[2:5, 2, 2] = right[16:19, 2, 2] = True
    found = clean(volume_of(grid, a=left, b=right), CleanSteps(grow=9.0))
    a, b = stack_of(found, "a"), stack_of(found, "b")
    assert not (a & b).any() and a[9, 2, 2] and b[11, 2, 2]
    assert abs(int(a.sum()) - int(b.sum())) <= 25  # the middle plane goes to one of them
    other_order = clean(volume_of(grid, b=right, a=left), CleanSteps(grow=9.0))
    assert (stack_of(other_order, "a")[:10] == a[:10]).all()


def test_kept_inside_another_one() -> None:
    grid = pixel_grid((8, 8, 4))
    organ, lesion = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    organ[1:6, 1:6], lesion[4:8, 4:8] = True, True
    outlines = volume_of(grid, organ=organ, lesion=lesion)
    np.testing.assert_array_equal(cleaned(outlines, "lesion", inside="organ"), organ & lesion)
    assert clean(outlines, CleanSteps(inside="organ")).names == ("organ", "lesion")
    with pytest.raises(PromptError, match="inside itself"):
        clean(outlines, CleanSteps(inside="organ"), ("organ",))


def test_frames_of_a_video_are_cleaned_each_by_itself() -> None:
    frames = np.zeros((3, 12, 12), bool)
    frames[0, 1:6, 1:6] = frames[1, 6:10, 6:10] = frames[2, 1:3, 1:3] = True
    frames[0, 9:11, 9:11] = True
    scan = Scan.from_frames(np.zeros((3, 12, 12), np.uint8))
    outlines = Segmentation.empty(scan).adding("a")
    outlines = outlines.with_masks("a", {n: Rle.encode(f) for n, f in enumerate(frames)}, {0: 0.7, 1: 0.8, 2: 0.9})
    found = clean(outlines, CleanSteps(largest=True))
    assert [found["a"].masks[n].area for n in range(3)] == [25, 16, 4]
    assert found["a"].scores[1] == 0.8, "a frame that did not change keeps its confidence"


def test_an_image_has_square_centimeters() -> None:
    mask = np.zeros((40, 40), bool)
    mask[2:22, 2:22], mask[30:35, 30:35] = True, True
    outlines = image_of(mask, (0.5, 0.5))  # 100 and 6.25 mm2
    assert clean(outlines, CleanSteps(islands=0.07))["a"].area == 400
    assert clean(outlines, CleanSteps(islands=0.06))["a"].area == 425


@pytest.mark.parametrize("amount", [1e3, 1e30])
@pytest.mark.parametrize("step", ["grow", "shrink", "smooth", "islands"])
def test_amounts_beyond_the_scan_end(step: str, amount: float) -> None:
    grid = grid_around(np.diag([1.0, 1.0, 2.0]), 8)
    solid = ball(grid, 5)
    found = cleaned(volume_of(grid, a=solid), **{step: amount})
    assert found.any() if step == "smooth" else found.sum() == (solid.size if step == "grow" else 0)


@pytest.mark.parametrize("amount", [0, -2.0, float("nan"), float("inf")])
@pytest.mark.parametrize("step", ["grow", "shrink", "smooth", "islands"])
def test_amounts_that_are_none_are_refused(step: str, amount: float) -> None:
    with pytest.raises(InputError, match="above 0") as caught:
        CleanSteps(**{step: amount})
    assert caught.value.code == "E-CLEAN-AMOUNT"


def test_empty_structures_stay_empty() -> None:
    grid = pixel_grid((5, 5, 5))
    outlines = volume_of(grid, a=np.zeros(grid.shape, bool))
    steps = CleanSteps(largest=True, islands=2, holes=True, holes_in_slices=True, smooth=1, shrink=1, grow=1)
    assert clean(outlines, steps)["a"].area == 0 and not steps.is_nothing and CleanSteps().is_nothing


def test_a_name_that_is_not_there_is_answered_with_the_closest() -> None:
    grid = pixel_grid((5, 5, 5))
    with pytest.raises(PromptError) as caught:
        clean(volume_of(grid, liver=np.ones(grid.shape, bool)), CleanSteps(largest=True), ("Livr",))
    assert caught.value.hint == 'Did you mean "liver"?'


def test_stacks_come_back_along_any_axis() -> None:
    grid = grid_around(STEPS["sheared"], 3)
    mask = np.random.default_rng(0).random(grid.shape) < 0.3
    for axis in range(3):
        outlines = volume_of(grid, axis, a=mask)
        np.testing.assert_array_equal(stack_of(outlines, "a"), mask)
        np.testing.assert_array_equal(outlines.voxels("a"), mask)
        again = with_stack(replace(outlines), "a", mask)
        assert all(again["a"].masks[n] is one for n, one in outlines["a"].masks.items()), "nothing changed"
    assert steps_of(outlines).shape == (3, 3)
