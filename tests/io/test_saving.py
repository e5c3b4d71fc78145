"""What is written: the right voxels in the right place, read back by other people's readers, never half a file."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.errors import OutputError
from delineate.grid import Grid
from delineate.io.atomic import replacing, write_bytes
from delineate.io.opening import open_scan
from delineate.io.saving import save
from delineate.rle import Rle
from delineate.scan import Scan
from delineate.segmentation import Segmentation

OBLIQUE = np.array([[1.2, 0.4, 0.1, -30], [-0.5, 1.4, 0.3, 12.5], [0.2, -0.3, 2.6, 7], [0, 0, 0, 1]])
SHAPE = (12, 10, 6)


def outlined(scan: Scan) -> Segmentation:
    """Two boxes that share voxels."""
    one, two = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    one[2:8, 3:7, 1:4], two[6:11, 5:9, 2:6] = True, True
    outlines = Segmentation.empty(scan)
    for name, mask in (("liver", one), ("left kidney", two)):
        stack = np.moveaxis(mask, scan.slice_axis, 0)
        outlines = outlines.adding(name).with_masks(name, {n: Rle.encode(m.T) for n, m in enumerate(stack)})
    return outlines


def volume(tmp_path: Path, qform: int = 1, sform: int = 2) -> Scan:
    image = nib.Nifti1Image(np.zeros(SHAPE, np.int16), OBLIQUE)
    image.set_sform(OBLIQUE, sform)
    image.set_qform(OBLIQUE, qform)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "in.nii.gz")
    return open_scan(tmp_path / "in.nii.gz")


@pytest.mark.parametrize(("qform", "sform"), [(1, 2), (0, 1), (3, 4)])
def test_a_label_map_lies_exactly_where_the_input_lies(tmp_path: Path, qform: int, sform: int) -> None:
    scan = volume(tmp_path, qform, sform)
    save(outlined(scan), tmp_path / "out.nii.gz", scan)
    before, after = nib.load(tmp_path / "in.nii.gz").header, nib.load(tmp_path / "out.nii.gz").header
    for field in ("srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
                  "qoffset_z", "pixdim", "qform_code", "sform_code", "xyzt_units", "dim"):  # fmt: skip
        assert before[field].tobytes() == after[field].tobytes(), field


def test_labels_come_back_with_their_values_and_names(tmp_path: Path) -> None:
    scan = volume(tmp_path)
    outlines = outlined(scan)
    save(outlines, tmp_path / "out.nii.gz", scan)
    image = nib.load(tmp_path / "out.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(image.dataobj), outlines.label_map())
    names = json.loads(image.header.extensions[0].get_content())["delineate_labels"]
    assert {k: v["name"] for k, v in names.items()} == {"1": "liver", "2": "left kidney"}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_slice_axis_gives_the_same_file(tmp_path: Path, axis: int) -> None:
    scan = volume(tmp_path)
    save(outlined(scan), tmp_path / "a.nii.gz", scan)
    turned = scan.sliced_along(axis)
    save(outlined(turned), tmp_path / "b.nii.gz", turned)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.seg.nrrd", "a.npz", "a.json"])
def test_the_same_outlines_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    scan = volume(tmp_path)
    save(outlined(scan), tmp_path / "one" / name, scan)
    save(outlined(scan), tmp_path / "two" / name, scan)
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_slicers_file_keeps_overlapping_segments(tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd")
    scan = volume(tmp_path)
    outlines = outlined(scan)
    save(outlines, tmp_path / "a.seg.nrrd", scan)
    data, header = nrrd.read(str(tmp_path / "a.seg.nrrd"))
    assert data.shape == (2, *SHAPE)
    for number, one in enumerate(outlines.objects):
        layer, value = int(header[f"Segment{number}_Layer"]), int(header[f"Segment{number}_LabelValue"])
        assert header[f"Segment{number}_Name"] == one.name
        assert np.array_equal(data[layer] == value, outlines.voxels(one.name))
    lps = np.diag([-1, -1, 1, 1]) @ OBLIQUE
    np.testing.assert_allclose(header["space directions"][1:], lps[:3, :3].T, rtol=1e-6)
    np.testing.assert_allclose(header["space origin"], lps[:3, 3], rtol=1e-6)
    again = open_scan(tmp_path / "a.seg.nrrd")
    assert [s.name for s in again.header.segments] == ["liver", "left kidney"]
    assert again.grid.same_as(scan.grid)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_simpleitk_agrees_where_voxels_are(tmp_path: Path, name: str) -> None:
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(0)
    values = rng.integers(-500, 500, SHAPE).astype(np.int16)
    image = sitk.GetImageFromArray(values.transpose(2, 1, 0))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    image.SetDirection(turn.ravel().tolist())
    image.SetSpacing((0.7, 1.3, 2.9))
    image.SetOrigin((-11.0, 22.5, 3.25))
    sitk.WriteImage(image, str(tmp_path / name))
    scan = open_scan(tmp_path / name)
    assert np.array_equal(scan.voxels(), values)
    for voxel in ((0, 0, 0), (11, 9, 5), (3, 7, 2)):
        lps = image.TransformIndexToPhysicalPoint(voxel)
        np.testing.assert_allclose(scan.grid.to_world(voxel) * (-1, -1, 1), lps, atol=2e-4)


def test_a_picture_becomes_a_palette_png_and_coco(tmp_path: Path) -> None:
    scan = Scan.from_image(np.zeros((30, 40), np.uint8))
    mask = np.zeros((30, 40), bool)
    mask[5:15, 10:30] = True
    outlines = (
        Segmentation.empty(scan).adding("nevus", (200, 10, 20)).with_masks("nevus", {0: Rle.encode(mask)}, {0: 0.8})
    )
    save(outlines, tmp_path / "a.png", scan)
    picture = Image.open(tmp_path / "a.png")
    assert picture.mode == "P" and np.array_equal(np.asarray(picture) == 1, mask)
    assert picture.getpalette()[3:6] == [200, 10, 20]
    save(outlines, tmp_path / "a.json", scan)
    (annotation,) = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert annotation["bbox"] == [10, 5, 20, 10] and annotation["area"] == 200
    runs = annotation["segmentation"]
    assert np.array_equal(Rle(*runs["size"], np.array(runs["counts"])).decode(), mask)


def test_a_video_becomes_a_folder_of_masks(tmp_path: Path) -> None:
    scan = Scan.from_frames(np.zeros((4, 20, 30, 3), np.uint8))
    mask = np.eye(20, 30, dtype=bool)
    outlines = Segmentation.empty(scan).adding("tool").with_masks("tool", {2: Rle.encode(mask)}, {2: 0.7})
    save(outlines, tmp_path / "out", scan)
    names = sorted(p.name for p in (tmp_path / "out" / "masks").iterdir())
    assert names == [f"{n:05d}.png" for n in range(4)]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "masks" / "00002.png")) == 1, mask)
    tracks = json.loads((tmp_path / "out" / "tracks.json").read_text())
    assert tracks["objects"][0]["frames"] == {"2": {"area": 20, "confidence": 0.7}}


def test_many_labels_widen_the_type(tmp_path: Path) -> None:
    scan = Scan.from_volume(np.zeros(SHAPE, np.int16), Grid(SHAPE))
    outlines = Segmentation.empty(scan).adding("a", label=300)
    save(outlines.with_masks("a", {0: Rle.encode(np.ones((10, 12), bool))}), tmp_path / "a.nii.gz", scan)
    assert np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj).max() == 300


def test_one_file_for_each_object(tmp_path: Path) -> None:
    scan = volume(tmp_path)
    paths = save(outlined(scan), tmp_path / "a.nii.gz", scan, split=True)
    assert [p.name for p in paths] == ["a_liver.nii.gz", "a_left_kidney.nii.gz"]
    assert np.array_equal(np.asarray(nib.load(paths[0]).dataobj) > 0, outlined(scan).voxels("liver"))


@pytest.mark.parametrize(
    ("name", "code"),
    [("there.nii.gz", "E-OUTPUT-EXISTS"), ("a.docx", "E-OUTPUT-FORMAT"), ("a" * 300 + ".nii", "E-OUTPUT-NAME"),
     ("there.nii.gz/a.nii", "E-OUTPUT-CLOSED")],
    ids=["exists", "format", "long-name", "file-as-folder"],
)  # fmt: skip
def test_names_that_cannot_be_written_are_refused(tmp_path: Path, name: str, code: str) -> None:
    scan = volume(tmp_path)
    (tmp_path / "there.nii.gz").write_text("old")
    with pytest.raises(OutputError) as caught:
        save(outlined(scan), tmp_path / name, scan)
    assert caught.value.code == code
    assert (tmp_path / "there.nii.gz").read_text() == "old"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_bytes(target, b"old")
    with pytest.raises(OutputError, match="No space"), replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    with pytest.raises(KeyboardInterrupt), replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
