"""Every file that outlines are saved to comes back with voxels, names and colors; what holds no labels is refused."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import InputError
from delineate.core.grid import Grid, Placement
from delineate.core.rle import Rle
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation
from delineate.io.saving import save
from delineate.labels.reading import open_segmentation

SHAPE = (9, 8, 5)
AFFINE = np.array([[0.8, 0.2, 0, 5], [-0.2, 0.8, 0, -6], [0, 0.1, 2.5, 7], [0, 0, 0, 1.0]])
NAMES = ("left kidney", "żołądek", 'a "b" \\ c')


def scan_of(kind: ScanKind, axis: int = 2) -> Scan:
    match kind:
        case ScanKind.IMAGE:
            return Scan.from_image(np.zeros((8, 9), np.uint8))
        case ScanKind.VIDEO:
            return Scan.from_frames(np.zeros((5, 8, 9), np.uint8))
    return Scan.from_volume(np.zeros(SHAPE, np.int16), Grid(SHAPE, AFFINE), axis)


def outlines(kind: ScanKind, axis: int = 2, first: int = 1) -> tuple[Scan, Segmentation]:
    scan = scan_of(kind, axis)
    found = Segmentation.empty(scan)
    for n, name in enumerate(NAMES):
        masks = {}
        for frame in range(0, len(scan), 2):
            mask = np.zeros(found.frame_shape, bool)
            mask[n : n + 2, 1:4] = True
            masks[frame] = Rle.encode(mask)
        found = found.adding(name, (10 * n, 200 - n, 7), first + 2 * n).with_masks(name, masks)
    return scan, found


VOLUME = ("nii", "nii.gz", "seg.nrrd", "nrrd", "mha", "tif", "npz", "json")
CASES = [
    *((ScanKind.VOLUME, ending, axis) for ending in VOLUME for axis in (2, 0)),
    *((ScanKind.IMAGE, ending, 2) for ending in ("png", *VOLUME)),
    *((ScanKind.VIDEO, ending, 2) for ending in ("", "tif", "npz", "json")),
]


@pytest.mark.parametrize(("kind", "ending", "axis"), CASES, ids=lambda value: str(value) or "folder")
@pytest.mark.parametrize("first", [1, 300])
def test_names_colors_and_voxels_come_back(tmp_path: Path, kind: ScanKind, ending: str, axis: int, first: int) -> None:
    scan, saved = outlines(kind, axis, first)
    file = tmp_path / (f"a.{ending}" if ending else "a")
    save(saved, file, scan)
    found = open_segmentation(file)
    assert found.named and found.segmentation.names == NAMES
    assert [(o.label, o.color) for o in found.segmentation.objects] == [(o.label, o.color) for o in saved.objects]
    keeps_order = ending not in ("json", "seg.nrrd")  # which keep overlapping structures whole
    if kind is ScanKind.VOLUME:
        assert found.segmentation.grid.shape == SHAPE
        np.testing.assert_array_equal(found.segmentation.label_map(), saved.label_map())
        if ending not in ("tif", "npz"):
            np.testing.assert_allclose(found.segmentation.grid.affine, AFFINE, atol=1e-6)
    else:
        for frame in range(len(scan)):
            np.testing.assert_array_equal(found.segmentation.frame_labels(frame), saved.frame_labels(frame))
    if not keeps_order:
        assert [o.area for o in found.segmentation.objects] == [o.area for o in saved.objects]


def test_a_record_beside_a_file_names_what_the_file_does_not(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.full(SHAPE, 4, np.uint8), AFFINE), tmp_path / "a.nii.gz")
    record = {"outputs": [{"name": "a.nii.gz"}], "objects": [{"label": 4, "name": "spleen"}]}
    (tmp_path / "a.manifest.json").write_text(json.dumps(record))
    assert open_segmentation(tmp_path / "a.nii.gz").segmentation.names == ("spleen",)
    record["outputs"] = [{"name": "b.nii.gz"}]
    (tmp_path / "a.manifest.json").write_text(json.dumps(record))
    assert open_segmentation(tmp_path / "a.nii.gz").segmentation.names == ("label 4",)


def test_itk_reads_a_metaimage_with_many_names(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    scan = scan_of(ScanKind.VOLUME)
    found = Segmentation.empty(scan)
    for n in range(1, 1200):
        found = found.adding(f"structure {n} " + "x" * 120, label=n)
    full = Rle.encode(np.ones(found.frame_shape, bool))
    found = found.with_masks(found.names[-1], {1: full})
    save(found, tmp_path / "a.mha", scan)
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.mha")))
    np.testing.assert_array_equal(image.T, found.label_map())
    assert open_segmentation(tmp_path / "a.mha").segmentation.names == found.names


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.full(SHAPE, 0.3, np.float32), "E-LABELS-FRACTIONS"),
        (np.full(SHAPE, -4, np.int16), "E-LABELS-VALUES"),
        (np.full(SHAPE, 70_000, np.int32), "E-LABELS-VALUES"),
        (np.full(SHAPE, np.inf, np.float32), "E-LABELS-VALUES"),
        (np.arange(20_000, dtype=np.int32).reshape(50, 20, 20), "E-LABELS-SCAN"),
    ],
    ids=["fractions", "negative", "beyond", "infinite", "a-scan"],
)
def test_what_holds_no_labels_is_refused(tmp_path: Path, values: np.ndarray, code: str) -> None:
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "a.nii.gz")
    with pytest.raises(InputError) as caught:
        open_segmentation(tmp_path / "a.nii.gz")
    assert caught.value.code == code and caught.value.hint


def test_a_color_picture_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="colored"):
        open_segmentation(tmp_path / "a.png")


def test_whole_floats_and_probabilities_with_a_threshold_are_labels(tmp_path: Path) -> None:
    values = np.zeros(SHAPE, np.float32)
    values[2:4, 2:4, 1:3] = 2
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "whole.nii.gz")
    assert open_segmentation(tmp_path / "whole.nii.gz").segmentation["label 2"].area == 8
    nib.save(nib.Nifti1Image(values * 0.25, AFFINE), tmp_path / "share.nii.gz")
    assert open_segmentation(tmp_path / "share.nii.gz", threshold=0.5).segmentation["label 1"].area == 8


def test_an_empty_file_of_labels_has_no_structures(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.uint8), AFFINE), tmp_path / "a.nii.gz")
    found = open_segmentation(tmp_path / "a.nii.gz")
    assert found.segmentation.objects == () and not found.named


def test_coco_of_several_pictures_is_refused(tmp_path: Path) -> None:
    images = [{"id": n, "width": 9, "height": 8, "file_name": f"{n}.png"} for n in (1, 2)]
    one = {"image_id": 1, "category_id": 3, "segmentation": [[1, 1, 5, 1, 5, 5]]}
    content = {"images": images[:1], "annotations": [one], "categories": [{"id": 3, "name": "cell"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert open_segmentation(tmp_path / "a.json").segmentation["cell"].area > 5
    (tmp_path / "a.json").write_text(json.dumps(content | {"images": images}))
    with pytest.raises(InputError, match="2 pictures"):
        open_segmentation(tmp_path / "a.json")


def test_a_volume_without_millimeters_comes_back(tmp_path: Path) -> None:
    scan = Scan.from_volume(np.zeros(SHAPE, np.uint8), Grid(SHAPE, placement=Placement.PIXELS))
    found = Segmentation.empty(scan).adding("a").with_masks("a", {1: Rle.encode(np.ones((8, 9), bool))})
    save(found, tmp_path / "a.npz", scan)
    assert open_segmentation(tmp_path / "a.npz").segmentation["a"].frames == (1,)
