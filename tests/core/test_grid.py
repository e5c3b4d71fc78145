"""Where voxels are: every conversion there and back, on every orientation."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.core.errors import GeometryError
from delineate.core.grid import Grid, Placement, Space

numbers = st.floats(-50, 50, allow_nan=False)
SHAPE = (4, 5, 6)
ORIENTATIONS = [
    tuple(order[n][side] for n, side in enumerate(sides))
    for order in permutations(("LR", "PA", "IS"))
    for sides in product((0, 1), repeat=3)
]


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Rotated, stretched, sheared and mirrored, but never singular."""
    a, b, c = (draw(st.floats(-3.1, 3.1)) for _ in range(3))
    turn = np.eye(3)
    for axis, angle in enumerate((a, b, c)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ step
    shear = np.eye(3) + np.triu(np.array([[draw(st.floats(-0.4, 0.4)) for _ in range(3)] for _ in range(3)]), 1)
    spacing = np.diag([draw(st.floats(0.2, 6)) * draw(st.sampled_from([-1, 1])) for _ in range(3)])
    affine = np.eye(4)
    affine[:3, :3] = turn @ shear @ spacing
    affine[:3, 3] = [draw(numbers) for _ in range(3)]
    return affine


@settings(max_examples=60, derandomize=True, deadline=None)
@given(affines(), st.tuples(numbers, numbers, numbers), st.sampled_from([Space.RAS, Space.LPS, Space.VOXEL]))
def test_there_and_back(affine: np.ndarray, voxel: tuple[float, float, float], space: Space) -> None:
    grid = Grid(SHAPE, affine)
    np.testing.assert_allclose(grid.to_voxel(grid.to_world(voxel, space), space), voxel, atol=1e-6)


@settings(max_examples=30, derandomize=True, deadline=None)
@given(affines())
def test_lps_is_ras_turned_round(affine: np.ndarray) -> None:
    grid = Grid(SHAPE, affine)
    np.testing.assert_allclose(grid.to_world((1, 2, 3), "LPS"), grid.to_world((1, 2, 3)) * (-1, -1, 1))


@settings(max_examples=30, derandomize=True, deadline=None)
@given(affines(), st.sampled_from(ORIENTATIONS))
def test_reorienting_moves_no_voxel(affine: np.ndarray, codes: tuple[str, str, str]) -> None:
    grid = Grid(SHAPE, affine)
    turned, permutation, flips = grid.reoriented(codes)
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    moved = np.flip(values.transpose(permutation), [n for n in range(3) if flips[n]])
    assert turned.axis_codes == codes and turned.shape == moved.shape
    for voxel in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
        there = np.rint(turned.to_voxel(grid.to_world(voxel))).astype(int)
        assert moved[tuple(there)] == values[voxel]


@pytest.mark.parametrize("codes", ORIENTATIONS, ids=["".join(c) for c in ORIENTATIONS])
def test_all_48_orientations_are_named(codes: tuple[str, str, str]) -> None:
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for voxel_axis, code in enumerate(codes):
        world = next(n for n, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[world, voxel_axis] = 1.5 if code in "RAS" else -1.5
    grid = Grid(SHAPE, affine)
    assert grid.axis_codes == codes
    assert grid.handedness == (1 if np.linalg.det(affine) > 0 else -1)
    np.testing.assert_allclose(grid.spacing, 1.5)


def test_a_picture_in_the_patient_takes_the_foot_of_the_perpendicular() -> None:
    grid = Grid((10, 8), np.diag([2.0, 3.0, 1.0, 1.0]))
    np.testing.assert_allclose(grid.to_world((1, 2)), (2, 6, 0))
    np.testing.assert_allclose(grid.to_voxel((2, 6, 40)), (1, 2))
    assert grid.voxel_volume == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [
        ((1, 1, 3), 2),
        ((3, 1, 1), 0),
        ((1, 3, 1), 1),
        ((1, 1, 1), 2),
        ((2, 2, 1), 2),  # pixels larger than the slice distance
        ((0.977, 0.977, 0.625), 2),
        ((0.9375, 0.9375, 0.9), 2),
        ((4, 4, 0.5), 2),
        ((1.9, 1, 1), 2),
        ((1, 2, 1), 1),
    ],
)
def test_the_thick_axis(spacing: tuple[float, ...], axis: int) -> None:
    assert Grid(SHAPE, np.diag([*spacing, 1.0])).thick_axis == axis


def test_skew_is_measured() -> None:
    affine = np.eye(4)
    affine[0, 1] = np.tan(np.radians(10))
    assert Grid(SHAPE, affine).skew_degrees == pytest.approx(10, abs=1e-6)
    assert Grid(SHAPE).skew_degrees == 0


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: Grid((0, 2, 3)), "E-GRID-SHAPE"),
        (lambda: Grid((2,)), "E-GRID-SHAPE"),
        (lambda: Grid(SHAPE, np.eye(3)), "E-GRID-AFFINE"),
        (lambda: Grid(SHAPE, np.full((4, 4), np.nan)), "E-GRID-NAN"),
        (lambda: Grid(SHAPE, np.diag([1.0, 0, 1, 1])), "E-GRID-SINGULAR"),
        (lambda: Grid(SHAPE, axes=("i", "j")), "E-GRID-AXES"),
        (lambda: Grid.pixels(3, 4).to_world((1, 2)), "E-GRID-NO-WORLD"),
        (lambda: Grid.scaled(SHAPE, (1, 1, 1)).to_voxel((1, 2, 3)), "E-GRID-NO-WORLD"),
        (lambda: Grid(SHAPE).to_world((1, 2)), "E-GRID-POINT"),
        (lambda: Grid(SHAPE).reoriented(("R", "L", "S")), "E-GRID-CODES"),
    ],
)
def test_what_no_grid_can_be_is_refused(build: object, code: str) -> None:
    with pytest.raises(GeometryError) as caught:
        build()  # type: ignore[operator]
    assert caught.value.code == code


def test_half_a_voxel_belongs_to_the_grid() -> None:
    grid = Grid(SHAPE)
    assert grid.contains([[-0.5, 0, 0], [3.49, 4.49, 5.49]]).all()
    assert not grid.contains([[-0.51, 0, 0], [3.5, 0, 0]]).any()


def test_an_affine_cannot_be_changed_behind_the_grids_back() -> None:
    affine = np.eye(4)
    grid = Grid(SHAPE, affine)
    affine[0, 0] = 9
    assert grid.spacing == (1, 1, 1)
    with pytest.raises(ValueError):
        grid.affine[0, 0] = 9


def test_placement_says_what_is_known() -> None:
    assert Grid.pixels(4, 3, 7).axes == ("x", "y", "t")
    assert Grid.scaled((4, 3), (0.5, 0.25)).spacing == (0.5, 0.25)
    assert Grid.scaled(SHAPE, (1, 2, 3)).placement is Placement.SCALE
    assert Grid(SHAPE).same_as(Grid(SHAPE, np.eye(4) + np.eye(4, k=3) * 1e-6))
    assert not Grid(SHAPE).same_as(Grid(SHAPE, np.diag([1.0, 1, 2, 1])))
