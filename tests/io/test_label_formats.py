"""Label maps in the formats other tools read: the same voxels in the same places, by those tools' own readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile

from delineate.core.errors import OutputError
from delineate.core.grid import Grid, Placement
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.io.opening import open_scan
from delineate.io.own_files import is_own
from delineate.io.saving import save

SHAPE = (7, 6, 5)
TURNED = np.array([[0, -2.0, 0, 11], [0.7, 0, 0, -4], [0, 0, 3.5, 20], [0, 0, 0, 1.0]])
_C, _S = np.cos(0.4), np.sin(0.4)
OBLIQUE = np.array([[_C, -_S, 0, 5], [_S, _C, 0, -6], [0, 0, 1, 7], [0, 0, 0, 1.0]]) @ np.diag([0.8, 0.9, 2.5, 1])
GRIDS = {
    "axial": Grid(SHAPE, np.diag([-1.0, -1.0, 3.0, 1.0])),
    "turned": Grid(SHAPE, TURNED),
    "oblique": Grid(SHAPE, OBLIQUE),
    "spacing-only": Grid.scaled(SHAPE, (0.5, 0.75, 2)),
    "pixels": Grid(SHAPE, placement=Placement.PIXELS),
}


def volume(grid: Grid, axis: int = 2, label: int = 1, name: str = "left kidney") -> tuple[Scan, Segmentation, Any]:
    """A scan, two structures that share voxels, and the label map (i, j, k) they make: the later one on top."""
    scan = Scan.from_volume(np.zeros(SHAPE, np.int16), grid, axis)
    first, second = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    first[1:5, 2:5, 1:4] = True
    second[4:6, 1:4, 2:5] = True
    outlines = Segmentation.empty(scan).adding(name, label=label).adding("cyst", label=label + 1)
    for one, mask in ((name, first), ("cyst", second)):
        frames = np.moveaxis(mask, axis, 0)
        outlines = outlines.with_masks(one, {n: Rle.encode(f.T) for n, f in enumerate(frames) if f.any()})
    return scan, outlines, np.where(second, label + 1, np.where(first, label, 0))


def read_by_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (i, j, k) and affine to RAS."""
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, np.diag([-1, -1, 1, 1]) @ affine


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
@pytest.mark.parametrize("grid", ["axial", "turned", "oblique"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("label", [1, 300])
def test_itk_finds_every_voxel_where_it_was(tmp_path: Path, ending: str, grid: str, axis: int, label: int) -> None:
    scan, outlines, expected = volume(GRIDS[grid], axis, label)
    path = tmp_path / f"a.{ending}"
    save(outlines, path, scan)
    voxels, affine = read_by_itk(path)
    np.testing.assert_array_equal(voxels, expected)
    np.testing.assert_allclose(affine, GRIDS[grid].affine, atol=1e-9)
    assert voxels.dtype == (np.uint8 if label == 1 else np.uint16)


@pytest.mark.parametrize("ending", ["nrrd", "mha", "tif", "tiff"])
@pytest.mark.parametrize("grid", GRIDS)
def test_they_are_read_again_here(tmp_path: Path, ending: str, grid: str) -> None:
    scan, outlines, expected = volume(GRIDS[grid])
    path = tmp_path / f"a.{ending}"
    save(outlines, path, scan)
    assert is_own(path)
    again = open_scan(path)
    np.testing.assert_array_equal(again.voxels(), expected)
    if GRIDS[grid].placement is not Placement.PIXELS:
        np.testing.assert_allclose(again.grid.spacing, GRIDS[grid].spacing, rtol=1e-5)
    if ending in ("nrrd", "mha") and GRIDS[grid].placement is Placement.WORLD:
        np.testing.assert_allclose(again.grid.affine, GRIDS[grid].affine, atol=1e-9)


@pytest.mark.parametrize("name", ["left kidney", "żołądek", 'a "b" \\ c', "x:=y", "# no comment"])
def test_names_in_an_nrrd_header_end_no_line(tmp_path: Path, name: str) -> None:
    nrrd = pytest.importorskip("nrrd")
    scan, outlines, expected = volume(GRIDS["oblique"], name=name)
    save(outlines, tmp_path / "a.nrrd", scan)
    voxels, header = nrrd.read(str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(voxels, expected)
    assert set(header) == {
        "type", "dimension", "space", "sizes", "space directions", "kinds", "endian", "encoding", "space origin",
        "delineate_labels",
    }  # fmt: skip


@pytest.mark.parametrize("grid", ["axial", "spacing-only"])
def test_imagej_finds_slices_and_millimeters(tmp_path: Path, grid: str) -> None:
    scan, outlines, expected = volume(GRIDS[grid])
    save(outlines, tmp_path / "a.tif", scan)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_imagej and file.series[0].axes == "ZYX"
        np.testing.assert_array_equal(file.asarray(), expected.T)
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["unit"] == "mm" and file.imagej_metadata["spacing"] == GRIDS[grid].spacing[2]


@pytest.mark.parametrize("ending", ["nrrd", "mha", "tif"])
def test_an_image_is_one_plane(tmp_path: Path, ending: str) -> None:
    scan = Scan.from_image(np.zeros((8, 9), np.uint8))
    mask = np.zeros((8, 9), bool)
    mask[2:5, 3:8] = True
    outlines = Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(mask)})
    save(outlines, tmp_path / f"a.{ending}", scan)
    found = open_scan(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(found.pixels(0), mask)


def test_a_video_is_a_stack_in_time(tmp_path: Path) -> None:
    scan = Scan.from_frames(np.zeros((4, 8, 9), np.uint8))
    masks = {n: np.eye(8, 9, n, dtype=bool) for n in range(4)}
    outlines = Segmentation.empty(scan).adding("a").with_masks("a", {n: Rle.encode(m) for n, m in masks.items()})
    save(outlines, tmp_path / "a.tif", scan)
    found = open_scan(tmp_path / "a.tif")
    assert found.kind == scan.kind
    for n, mask in masks.items():
        np.testing.assert_array_equal(found.pixels(n), mask)


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_a_video_is_no_volume(tmp_path: Path, ending: str) -> None:
    scan = Scan.from_frames(np.zeros((4, 8, 9), np.uint8))
    with pytest.raises(OutputError, match="does not say a format"):
        save(Segmentation.empty(scan).adding("a"), tmp_path / f"a.{ending}", scan)


@pytest.mark.parametrize("read", [False, True], ids=["made", "read"])
def test_axes_beyond_sixteen_bits_are_written_as_nifti_2(read: bool, tmp_path: Path) -> None:
    voxels = np.zeros((2, 2, 32_800), np.uint8)
    scan = Scan.from_volume(voxels, Grid(voxels.shape), slice_axis=2)
    if read:
        nib.save(nib.Nifti2Image(voxels, np.diag([0.5, 1, 2, 1])), tmp_path / "long.nii")
        scan = open_scan(tmp_path / "long.nii", slice_axis=2)
    masks = {frame: np.ones((2, 2), dtype=bool) for frame in (32_780, 32_799)}
    found = Segmentation.empty(scan).adding("end").with_masks("end", {n: Rle.encode(m) for n, m in masks.items()})
    save(found, tmp_path / "labels.nii.gz", scan)
    back = np.asarray(nib.load(tmp_path / "labels.nii.gz").dataobj)
    assert back.shape == voxels.shape and back[:, :, 32_780].all() and not back[:, :, 32_781].any()
