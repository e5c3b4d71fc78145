"""Measures against shapes whose volume, surface and diameters are known, on grids of all kinds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from delineate.core.grid import Grid, Space
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.evaluation.surface import _cell_codes, piece_sizes
from delineate.outlines.diameters import diameters
from delineate.outlines.measure import Measures, measure
from delineate.outlines.surface import surface_area
from label_shapes import STEPS, ball, grid_around, image_of, pixel_grid, places, volume_of


def only(measures: Measures):
    (one,) = measures.structures
    return one


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("radius", [8, 14])
def test_a_ball_has_its_volume_surface_center_and_diameter(kind: str, radius: float) -> None:
    grid = grid_around(STEPS[kind], radius)
    found = only(measure(volume_of(grid, a=ball(grid, radius))))
    assert found.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.02)
    assert found.surface_cm2 == pytest.approx(4 * np.pi * radius**2 / 100, rel=0.04)
    assert found.centroid_mm == pytest.approx((10, -20, 30), abs=0.05)
    thickest = float(np.linalg.norm(STEPS[kind], axis=0).max())
    assert found.long_axis_mm == pytest.approx(2 * radius, abs=thickest)
    assert found.short_axis_mm == pytest.approx(2 * radius, abs=thickest)
    lps = only(measure(volume_of(grid, a=ball(grid, radius)), space=Space.LPS))
    assert lps.centroid_mm == pytest.approx((-10, 20, 30), abs=0.05)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_ellipsoid_is_measured_in_its_slices(axis: int) -> None:
    grid = grid_around(STEPS["anisotropic"], 16)
    at = places(grid) - np.reshape((10, -20, 30), (3, 1, 1, 1))
    radii = np.array([15, 10, 6.0])
    inside = ((at / radii.reshape(3, 1, 1, 1)) ** 2).sum(axis=0) <= 1
    found = only(measure(volume_of(grid, axis, a=inside)))
    in_slice = sorted(np.delete(radii, axis))
    assert found.long_axis_mm == pytest.approx(2 * in_slice[1], abs=2.5)
    assert found.short_axis_mm == pytest.approx(2 * in_slice[0], abs=2.5)
    middle = grid.shape[axis] // 2
    assert abs(found.axis_slice - middle) <= 3  # its neighbors are as long
    rows = {row.slice: row for row in measure(volume_of(grid, axis, a=inside)).slices}
    assert rows[middle].area_mm2 == pytest.approx(np.pi * in_slice[0] * in_slice[1], rel=0.1)
    assert sum(row.pixels for row in rows.values()) == found.voxels


def test_the_surface_is_less_than_a_mesh_of_facets_and_nearer_the_truth() -> None:
    """pyradiomics' definition: a mesh through the middles between voxels; 8 % too much on a ball."""
    grid = grid_around(np.eye(3), 15)
    mask = ball(grid, 15)
    codes = _cell_codes(np.pad(mask, 1))
    mesh = float(piece_sizes((1.0, 1.0, 1.0))[codes].sum())
    true = 4 * np.pi * 15**2
    assert mesh / true == pytest.approx(1.08, abs=0.02)
    assert surface_area(mask, np.eye(3)) / true == pytest.approx(1, abs=0.02)
    skimage = pytest.importorskip("skimage.measure")
    vertices, faces, _, _ = skimage.marching_cubes(np.pad(mask, 1).astype(float), 0.5)
    assert skimage.mesh_surface_area(vertices, faces) == pytest.approx(mesh, rel=0.01)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.8), (2.0, 0.7)])
def test_a_disk_and_a_square_on_an_image(spacing: tuple[float, float]) -> None:
    y, x = np.mgrid[0:160, 0:160]
    disk = ((x - 80) * spacing[0]) ** 2 + ((y - 80) * spacing[1]) ** 2 <= 30**2
    found = only(measure(image_of(disk, spacing)))
    assert found.area_cm2 == pytest.approx(np.pi * 9, rel=0.01)
    assert found.perimeter_mm == pytest.approx(2 * np.pi * 30, rel=0.04)
    assert found.long_axis_mm == pytest.approx(60, abs=2) and found.volume_ml is None


def test_the_long_axis_is_the_greatest_distance_and_the_short_one_across_it() -> None:
    """Against the definition, by brute force."""
    mask = np.random.default_rng(5).random((12, 9)) < 0.5
    mask[3:8, 2:7] = True
    steps = np.array([[0.7, 0.2], [0, 1.1], [0.1, 0]])
    found = diameters(mask, steps)
    assert found is not None
    from scipy import ndimage

    labels, count = ndimage.label(mask, np.ones((3, 3)))
    longest = 0.0
    for n in range(1, count + 1):
        pixels = np.argwhere(labels == n)
        points = (pixels[:, None] + np.array([(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])).reshape(-1, 2)
        longest = max(longest, float(pdist(points @ steps.T).max()))
    assert found.long == pytest.approx(longest)
    ends = np.array(found.ends) @ steps.T
    assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(found.long)


def test_a_rectangle_turned_in_the_plane_keeps_its_short_axis() -> None:
    """Long axis: the diagonal; across it the chord through a corner."""
    mask = np.ones((40, 10), bool)
    found = diameters(np.pad(mask, 2), np.eye(3)[:, :2])
    assert found is not None
    assert found.long == pytest.approx(np.hypot(40, 10), abs=1.1)
    diagonal = np.arctan2(10, 40)
    assert found.short == pytest.approx(10 / np.cos(diagonal), abs=0.6)


def test_one_pixel_is_one_pixel_wide() -> None:
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    found = diameters(mask, np.diag([2.0, 3.0, 1.0])[:, :2])
    assert found is not None and (found.long, found.short) == (3.0, 2.0)
    assert diameters(np.zeros((5, 5), bool), np.eye(3)[:, :2]) is None


def test_parts_apart_are_not_one_lesion() -> None:
    mask = np.zeros((60, 60), bool)
    mask[2:8, 2:8] = mask[50:56, 50:54] = True
    assert only(measure(image_of(mask, (1, 1)))).long_axis_mm < 9


def test_intensities_are_those_inside() -> None:
    grid = Grid((6, 5, 4), np.diag([1, 2, 3, 1.0]))
    values = np.arange(120, dtype=np.float32).reshape(6, 5, 4)
    values[1, 1, 1] = np.nan
    mask = np.zeros(grid.shape, bool)
    mask[1:4, 1:3, 1:3] = True
    found = measure(volume_of(grid, a=mask), Scan.from_volume(values, grid, 2))
    inside = values[mask]
    one = only(found).intensity
    assert one is not None
    assert (one.mean, one.sd) == pytest.approx((np.nanmean(inside), np.nanstd(inside)))
    assert (one.least, one.median, one.greatest) == pytest.approx(
        (np.nanmin(inside), np.nanmedian(inside), np.nanmax(inside))
    )
    row = found.slices[0]
    assert row.intensity is not None and row.intensity.mean == pytest.approx(np.nanmean(values[..., 1][mask[..., 1]]))


def test_without_millimeters_there_are_pixels() -> None:
    mask = np.zeros((20, 20), bool)
    mask[4:9, 3:12] = True
    found = only(measure(image_of(mask)))
    assert found.voxels == 45 and found.long_axis_px == pytest.approx(np.hypot(9, 5), abs=1)
    assert (found.area_cm2, found.perimeter_mm, found.long_axis_mm, found.centroid_mm) == (None,) * 4
    assert found.centroid_voxel == (7, 6)
    stack = np.zeros((6, 6, 6), bool)
    stack[2:4, 2:4, 2:4] = True
    assert only(measure(volume_of(pixel_grid((6, 6, 6)), a=stack))).volume_ml is None


def test_a_video_is_measured_frame_by_frame() -> None:
    scan = Scan.from_frames(np.full((3, 12, 12), 7, np.uint8))
    masks = {n: Rle.encode(np.pad(np.ones((2 + n, 3), bool), ((0, 10 - n), (0, 9)))) for n in range(3)}
    found = measure(Segmentation.empty(scan).adding("a").with_masks("a", masks), scan)
    assert [row.pixels for row in found.slices] == [6, 9, 12]
    assert only(found).voxels == 27 and only(found).axis_slice == 2 and only(found).intensity.mean == 7


def test_lengths_of_a_calibrated_clip_are_millimeters() -> None:
    scan = Scan.from_frames(np.zeros((2, 30, 30), np.uint8))
    scan = replace(scan, grid=Grid.scaled(scan.grid.shape, (0.5, 0.25, 1.0), scan.grid.axes))
    mask = np.zeros((30, 30), bool)
    mask[5:25, 10:15] = True
    found = measure(Segmentation.empty(scan).adding("a").with_masks("a", dict.fromkeys((0, 1), Rle.encode(mask))))
    whole, first = only(found), found.slices[0]
    assert first.area_mm2 == pytest.approx(100 * 0.125) and first.long_axis_px is None
    assert whole.long_axis_mm == first.long_axis_mm == pytest.approx(np.hypot(20 * 0.25, 4.5 * 0.5), rel=0.03)
    assert whole.volume_ml is whole.area_cm2 is whole.surface_cm2 is whole.perimeter_mm is None  # of frames in time


def test_an_empty_structure_has_a_row_of_nothing() -> None:
    grid = grid_around(np.eye(3), 2)
    found = measure(volume_of(grid, a=np.zeros(grid.shape, bool)))
    row = only(found).row()
    assert row["voxels"] == 0 and row["volume_ml"] == 0 and row["long_axis_mm"] is None and not found.slices
    assert row["centroid_x_mm"] is None
