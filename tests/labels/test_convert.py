"""Converting: every format to every other one; labels keep their names, scans their values; other grids; refusals."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import DelineateError
from delineate.core.grid import Grid
from delineate.core.scan import Scan
from delineate.io.opening import open_scan
from delineate.io.own_files import is_own
from delineate.io.saving import save
from delineate.io.writers.image import image_writer
from delineate.labels.reading import open_segmentation
from delineate.outlines.stacks import stack_of
from delineate.verbs.convert import ConvertRequest, convert
from label_shapes import STEPS, ball, grid_around, volume_of

GRID = grid_around(STEPS["oblique"], 3)
LABELS = volume_of(GRID, **{"left one": ball(GRID, 3, (9, -20, 30)), "other": ball(GRID, 2, (13, -20, 30))})
SCAN = Scan.from_volume(np.zeros(GRID.shape, np.int16), GRID)
VOLUMES = ("nii.gz", "seg.nrrd", "nrrd", "mha", "tif", "npz", "json", "")


@pytest.mark.parametrize("source", VOLUMES[:-1])
@pytest.mark.parametrize("target", VOLUMES)
def test_labels_of_any_format_become_any_other(tmp_path: Path, source: str, target: str) -> None:
    first, second = tmp_path / f"a.{source}", tmp_path / (f"b.{target}" if target else "b")
    save(LABELS, first, SCAN)
    done = convert(ConvertRequest(input=first, output=second))
    assert done.kind == "labels" and [size.name for size in done.sizes] == ["left one", "other"]
    found = open_segmentation(second).segmentation
    assert found.names == LABELS.names and is_own(second)
    np.testing.assert_array_equal(found.label_map(), LABELS.label_map())
    if not {source, target} & {"tif", "npz"}:
        np.testing.assert_allclose(found.grid.affine, GRID.affine, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32", "uint16", "float64", "int32"])
@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha", "tif", "npz"])
def test_a_scan_keeps_its_values_and_its_grid(tmp_path: Path, ending: str, dtype: str) -> None:
    low = 0 if dtype[0] == "u" else -90
    values = np.random.default_rng(0).integers(low, 100, GRID.shape).astype(dtype)
    scan = Scan.from_volume(values, GRID, 2)
    path = tmp_path / f"a.{ending}"
    if ending == "tif" and dtype in ("float64", "int32"):
        with pytest.raises(DelineateError, match="cannot hold"):
            image_writer(path, scan)
        return
    image_writer(path, scan)(scan, path)
    found = open_scan(path)
    np.testing.assert_array_equal(found.voxels(), values)
    if ending not in ("tif", "npz"):
        assert found.dtype == values.dtype
        np.testing.assert_allclose(found.grid.affine, GRID.affine, atol=1e-5)


def test_itk_reads_a_converted_scan(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    values = np.random.default_rng(0).integers(-900, 900, GRID.shape).astype(np.int16)
    scan = Scan.from_volume(values, GRID, 2)
    for ending in ("nrrd", "mha", "nii.gz"):
        image_writer(tmp_path / f"a.{ending}", scan)(scan, tmp_path / f"a.{ending}")
        image = sitk.ReadImage(str(tmp_path / f"a.{ending}"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, values)
        np.testing.assert_allclose(image.GetOrigin(), np.diag([-1, -1, 1]) @ GRID.affine[:3, 3], atol=1e-4)


@pytest.mark.parametrize("ending", ["png", "tif", "npz", "mha", "nrrd"])
def test_a_color_picture_stays_one(tmp_path: Path, ending: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 12, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    done = convert(ConvertRequest(input=tmp_path / "a.png", output=tmp_path / f"b.{ending}"))
    assert done.kind == "image"
    if ending not in ("mha", "nrrd"):  # of one slice
        np.testing.assert_array_equal(open_scan(tmp_path / f"b.{ending}").pixels(0), pixels)


def test_a_ct_becomes_a_folder_of_pictures_and_is_told_so(tmp_path: Path) -> None:
    values = np.linspace(-1000, 1000, int(np.prod(GRID.shape))).reshape(GRID.shape).astype(np.int16)
    nib.save(nib.Nifti1Image(values, GRID.affine), tmp_path / "ct.nii.gz")
    done = convert(ConvertRequest(input=tmp_path / "ct.nii.gz", output=tmp_path / "pictures"))
    assert any(notice.code == "W-CONVERT-WINDOW" for notice in done.notices)
    assert len(open_scan(tmp_path / "pictures")) == GRID.shape[2] and is_own(tmp_path / "pictures")


def test_labels_are_brought_onto_another_grid_by_where_they_lie(tmp_path: Path) -> None:
    save(LABELS, tmp_path / "a.nii.gz", SCAN)
    fine = Grid((60, 60, 60), np.array([[0.5, 0, 0, -4], [0, 0.5, 0, -34], [0, 0, 0.5, 16], [0, 0, 0, 1]]))
    nib.save(nib.Nifti1Image(np.zeros(fine.shape, np.int16), fine.affine), tmp_path / "fine.nii.gz")
    convert(ConvertRequest(input=tmp_path / "a.nii.gz", like=tmp_path / "fine.nii.gz", output=tmp_path / "b.nii.gz"))
    found = open_segmentation(tmp_path / "b.nii.gz").segmentation
    assert found.grid.shape == fine.shape and found.names == LABELS.names
    center = fine.to_world(np.argwhere(stack_of(found, "other")).mean(axis=0))
    np.testing.assert_allclose(center, (13, -20, 30), atol=0.5)


def test_probabilities_with_a_threshold_are_labels(tmp_path: Path) -> None:
    values = np.linspace(0, 1, int(np.prod(GRID.shape))).reshape(GRID.shape).astype(np.float32)
    nib.save(nib.Nifti1Image(values, GRID.affine), tmp_path / "p.nii.gz")
    convert(ConvertRequest(input=tmp_path / "p.nii.gz", threshold=0.75, output=tmp_path / "b.nii.gz"))
    found = open_segmentation(tmp_path / "b.nii.gz").segmentation
    assert found["label 1"].area == int((values >= 0.75).sum())


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"output": "b.jpg"}, "E-OUTPUT-FORMAT"),
        ({"output": "b.png"}, "E-OUTPUT-FORMAT"),
        ({"output": "a.nii.gz", "overwrite": True}, "E-OUTPUT-INPUT"),
        ({"output": "b.nii.gz", "kind": "picture"}, "E-OPTION"),
        ({"output": "b.nii.gz", "kind": "image", "split": True}, "E-OPTION"),
        ({"output": "b.nii.gz", "like": "pixels.npz"}, "E-LABELS-PLACE"),
        ({"output": "b.nii.gz", "like": "missing.nii.gz"}, "E-FILE-MISSING"),
        ({"output": "there.nii.gz", "overwrite": True}, "E-OUTPUT-FOREIGN"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, object], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save(LABELS, "a.nii.gz", SCAN)
    np.savez("pixels.npz", imgs=np.zeros((4, 5, 6), np.uint8))
    Path("there.nii.gz").write_text("mine")
    with pytest.raises(DelineateError) as caught:
        convert(ConvertRequest(input=Path("a.nii.gz"), **more))  # type: ignore[arg-type]
    assert caught.value.code == code and caught.value.hint
    assert Path("there.nii.gz").read_text() == "mine"
