"""What is written: the right voxels in the right place, read back by other people's readers, never half a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import OutputError
from delineate.core.grid import Grid
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.io.atomic import replacing, write_bytes
from delineate.io.opening import open_scan
from delineate.io.saving import save

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


GEOMETRY = ("srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
            "qoffset_z", "pixdim", "qform_code", "sform_code", "xyzt_units", "dim")  # fmt: skip


@pytest.mark.parametrize(("qform", "sform"), [(1, 2), (0, 1), (3, 4)])
def test_a_label_map_lies_exactly_where_the_input_lies(tmp_path: Path, qform: int, sform: int) -> None:
    scan = volume(tmp_path, qform, sform)
    save(outlined(scan), tmp_path / "out.nii.gz", scan)
    before, after = nib.load(tmp_path / "in.nii.gz").header, nib.load(tmp_path / "out.nii.gz").header
    for field in GEOMETRY:
        assert before[field].tobytes() == after[field].tobytes(), field


def crammed(folder: Path, kind: type[nib.Nifti1Header], order: str = "<", name: str = "in.nii") -> Path:
    """A volume with something in every field that is no geometry, and in extensions."""
    header = kind(endianness=order)
    header.set_data_dtype(np.int16)
    header.set_data_shape(SHAPE)
    header.set_sform(OBLIQUE, 4)
    header.set_qform(OBLIQUE, 3)
    header["pixdim"][4:] = 7, 8, 9, 10
    header.set_xyzt_units("mm", "sec")
    for field in header.keys():  # noqa: SIM118
        stored = header[field]
        if stored.dtype.kind == "S" and field != "magic":
            header[field] = b"MADEUP" * 20
        elif field in ("cal_min", "cal_max", "toffset", "slice_duration", "intent_p1", "intent_p2", "intent_p3"):
            header[field] = 123
        elif field in ("slice_start", "slice_end", "slice_code", "dim_info", "extents", "session_error", "regular"):
            header[field] = 3
    pair = name.endswith(".hdr")
    image = (nib.Nifti1Pair if pair else nib.Nifti2Image if kind is nib.Nifti2Header else nib.Nifti1Image)(
        np.zeros(SHAPE, np.int16), None, header
    )
    image.header.extensions += [nib.nifti1.Nifti1Extension(code, b"MADEUP text") for code in (2, 4, 6, 44)]
    nib.save(image, folder / name)
    return folder / name


@pytest.mark.parametrize(
    ("kind", "order", "name"),
    [
        pytest.param(nib.Nifti1Header, "<", "in.nii", id="nifti-1"),
        pytest.param(nib.Nifti1Header, ">", "in.nii.gz", id="nifti-1, big-endian"),
        pytest.param(nib.nifti1.Nifti1PairHeader, "<", "in.hdr", id="hdr and img"),
        pytest.param(nib.Nifti2Header, "<", "in.nii.gz", id="nifti-2"),
        pytest.param(nib.Nifti2Header, ">", "in.nii", id="nifti-2, big-endian"),
    ],
)
@pytest.mark.parametrize("split", [False, True], ids=["one file", "split"])
def test_of_a_header_the_geometry_alone_goes_on(
    tmp_path: Path, kind: type[nib.Nifti1Header], order: str, name: str, split: bool
) -> None:
    path = crammed(tmp_path, kind, order, name)
    scan = open_scan(path)
    outlines = outlined(scan)
    before = nib.load(path).header
    for written in save(outlines, tmp_path / "out.nii", scan, split=split):
        assert b"MADEUP" not in written.read_bytes()
        image = nib.load(written)
        after = image.header
        empty = type(after)()
        empty.set_data_shape(SHAPE)
        for field in GEOMETRY:
            expected = before[field].astype(before[field].dtype.newbyteorder("<"))
            if field == "pixdim":  # spacing in time and beyond: a label map has three axes
                expected[4:] = 1
            assert expected.tobytes() == after[field].tobytes(), field
        others = set(empty.keys()) - {*GEOMETRY, "datatype", "bitpix", "vox_offset", "intent_code", "scl_slope"}
        assert not [f for f in others - {"scl_inter"} if empty[f].tobytes() != after[f].tobytes()]
        assert len(after.extensions) == 1 and "delineate_labels" in str(after.extensions[0].get_content())
        assert np.array_equal(image.affine, scan.grid.affine)


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
def test_a_header_is_kept_whole_when_that_is_asked_for(tmp_path: Path, kind: type[nib.Nifti1Header]) -> None:
    path = crammed(tmp_path, kind)
    scan = open_scan(path)
    outlines = outlined(scan)
    save(outlines, tmp_path / "out.nii.gz", scan, keep_header=True)
    before, image = nib.load(path).header, nib.load(tmp_path / "out.nii.gz")
    for field in ("descrip", "aux_file", "slice_duration", "slice_code", *GEOMETRY[:-1]):
        if field != "pixdim":
            assert before[field].tobytes() == image.header[field].tobytes(), field
    assert [e.get_code() for e in image.header.extensions] == [6, 2, 4, 6, 44]
    assert np.array_equal(np.asarray(image.dataobj), outlines.label_map())


def test_only_a_nifti_header_can_be_kept_in_nifti(tmp_path: Path) -> None:
    scan = open_scan(crammed(tmp_path, nib.Nifti1Header))
    outlines = outlined(scan)
    with pytest.raises(OutputError, match="in NIfTI alone"):
        save(outlines, tmp_path / "a.seg.nrrd", scan, keep_header=True)
    save(outlines, tmp_path / "a.seg.nrrd", scan)
    other = open_scan(tmp_path / "a.seg.nrrd")
    for one, why in ((other, "a.seg.nrrd is NRRD"), (replace(scan, file=None), "read from no file")):
        with pytest.raises(OutputError, match=why):
            save(outlines, tmp_path / "b.nii", one, keep_header=True)
    turned = nib.load(tmp_path / "in.nii")
    turned.set_sform(np.eye(4), 1)
    nib.save(turned, tmp_path / "other.nii")
    (tmp_path / "other.nii").replace(tmp_path / "in.nii")
    with pytest.raises(OutputError, match="has changed"):
        save(outlines, tmp_path / "b.nii", scan, keep_header=True)
    assert not (tmp_path / "b.nii").exists()


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
