"""FreeSurfer volumes, studies in archives, pictures of newer formats, and gzip where it does not belong."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import InputError
from delineate.core.grid import Placement
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan
from delineate.io.readers import zipped
from small_dicom import dicom, levels

VOXELS = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)
AFFINE = np.array([[-1, 0, 0, 10], [0, 0, 2, -5], [0, -3, 0, 7], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("name", ["a.mgh", "a.mgz", "a.MGZ"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_freesurfer_volumes_lie_where_nibabel_puts_them(tmp_path: Path, name: str, dtype: Any) -> None:
    nib.save(nib.MGHImage(VOXELS.astype(dtype), AFFINE), tmp_path / name.lower())
    (tmp_path / name.lower()).rename(tmp_path / name)
    scan = open_scan(tmp_path / name)
    np.testing.assert_array_equal(scan.voxels(), VOXELS)
    np.testing.assert_allclose(scan.grid.affine, AFFINE, atol=1e-5)
    assert scan.dtype == dtype


def test_a_freesurfer_file_of_frames_asks_which(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(np.stack([VOXELS, VOXELS + 1], axis=3), AFFINE), tmp_path / "a.mgz")
    with pytest.raises(InputError, match="--index"):
        open_scan(tmp_path / "a.mgz")
    np.testing.assert_array_equal(open_scan(tmp_path / "a.mgz", index=1).voxels(), VOXELS + 1)


def test_a_freesurfer_file_without_directions_has_no_millimeters(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(VOXELS, AFFINE), tmp_path / "a.mgh")
    data = bytearray((tmp_path / "a.mgh").read_bytes())
    data[28:30] = b"\0\0"
    (tmp_path / "a.mgh").write_bytes(data)
    scan = open_scan(tmp_path / "a.mgh")
    assert scan.grid.placement is Placement.PIXELS
    assert "W-NO-ORIENTATION" in [notice.code for notice in scan.notices]


@pytest.mark.parametrize("keep", [30, 300, -20])
@pytest.mark.parametrize("name", ["a.mgh", "a.mgz"])
def test_a_cut_freesurfer_file_is_refused(tmp_path: Path, name: str, keep: int) -> None:
    nib.save(nib.MGHImage(VOXELS, AFFINE), tmp_path / "b.mgh")
    data = (tmp_path / "b.mgh").read_bytes()[: keep if keep > 0 else 284 + VOXELS.nbytes + keep]
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("z") else data)
    with pytest.raises(InputError) as caught:
        open_scan(tmp_path / name)
    assert caught.value.code == "E-MGH-DAMAGED"


def study(folder: Path) -> Path:
    for n in range(4):
        dicom(folder / "st" / "se" / f"{n}.dcm", levels(4)[n], z=3 * n)
    return folder


def test_a_zip_of_a_study_is_read_as_its_folder(tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "study"), "zip", study(tmp_path / "in"))
    scan = open_scan(tmp_path / "study.zip")
    np.testing.assert_array_equal(scan.voxels(), open_scan(tmp_path / "in").voxels())
    assert scan.file is not None and scan.file.path.name == "study.zip"


def test_a_zip_of_frames_lives_as_long_as_its_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[Path]()
    plain = zipped.tempfile.TemporaryDirectory

    def noted(*about: Any, **more: Any) -> Any:
        folder = plain(*about, **more)
        made.append(Path(folder.name))
        return folder

    monkeypatch.setattr(zipped.tempfile, "TemporaryDirectory", noted)
    (tmp_path / "in").mkdir()
    for n in range(3):
        Image.fromarray(np.full((12, 16), n, np.uint8)).save(tmp_path / "in" / f"{n}.png")
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "in")
    with open_scan(tmp_path / "a.zip") as scan:
        assert scan.kind is ScanKind.VIDEO and [int(scan.pixels(n)[0, 0]) for n in range(3)] == [0, 1, 2]
        assert made[0].is_dir()
    assert not made[0].exists()


def archive(path: Path, name: str, data: bytes = b"x", mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        member = zipfile.ZipInfo(name)
        member.external_attr, member.compress_type = mode << 16, zipfile.ZIP_DEFLATED
        out.writestr(member, data)
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [("../x.dcm", 0), ("a/../../x.dcm", 0), ("/etc/x.dcm", 0), ("..\\x.dcm", 0), ("C:x.dcm", 0), ("link", 0o120777),
     ("pipe", 0o010644), ("device", 0o020644), ("n" * 300, 0)],
)  # fmt: skip
def test_members_that_lead_elsewhere_are_refused(tmp_path: Path, name: str, mode: int) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError) as caught:
        open_scan(archive(tmp_path / "in" / "a.zip", name, mode=mode))
    assert caught.value.code == "E-ZIP-MEMBERS"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "in"]


def test_archives_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "ALWAYS", 1 << 16)
    with pytest.raises(InputError) as caught:
        open_scan(archive(tmp_path / "a.zip", "a.dcm", bytes(1 << 22)))
    assert caught.value.code == "E-ZIP-LARGE"
    shutil.make_archive(str(tmp_path / "b"), "zip", study(tmp_path / "in"))
    with pytest.raises(InputError, match="--max-files"):
        open_scan(tmp_path / "b.zip", max_files=3)


def test_an_archive_in_an_archive_is_refused(tmp_path: Path) -> None:
    archive(tmp_path / "in.zip", "a.dcm")
    with pytest.raises(InputError) as caught:
        open_scan(archive(tmp_path / "out.zip", "in.zip", (tmp_path / "in.zip").read_bytes()))
    assert caught.value.code == "E-ZIP-NESTED"


@pytest.mark.parametrize("cut", [30, 90])
def test_a_cut_archive_is_refused(tmp_path: Path, cut: int) -> None:
    path = archive(tmp_path / "a.zip", "a.dcm", bytes(range(256)) * 4)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError) as caught:
        open_scan(path)
    assert caught.value.code == "E-ZIP-DAMAGED"


@pytest.mark.parametrize(("ending", "exact"), [("jp2", True), ("j2k", True), ("webp", False)])
def test_newer_pictures_are_read(tmp_path: Path, ending: str, exact: bool) -> None:
    colors = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(colors).save(tmp_path / f"a.{ending}", **({} if exact else {"lossless": True}))
    np.testing.assert_array_equal(open_scan(tmp_path / f"a.{ending}").pixels(0), colors)


def test_jpeg_2000_keeps_sixteen_bits_of_gray(tmp_path: Path) -> None:
    gray = (np.arange(192).reshape(12, 16) * 300).astype(np.uint16)
    Image.fromarray(gray).save(tmp_path / "a.jp2")
    np.testing.assert_array_equal(open_scan(tmp_path / "a.jp2").pixels(0), gray)


@pytest.mark.parametrize("kind", ["dcm", "png", "mha", "nrrd", "tif"])
def test_gzip_around_other_formats_says_how_to_unpack_it(tmp_path: Path, kind: str) -> None:
    head = "NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nencoding: raw\nendian: little\n\n"
    meta = "ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    plain = tmp_path / f"a.{kind}"
    if kind == "dcm":
        dicom(plain, levels(1)[0])
    elif kind in ("png", "tif"):
        Image.fromarray(np.zeros((12, 16), np.uint8)).save(plain)
    else:
        plain.write_bytes((head if kind == "nrrd" else meta).encode() + VOXELS.tobytes())
    open_scan(plain)
    packed = tmp_path / f"b.{kind}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    with pytest.raises(InputError, match="gzip -dk") as caught:
        open_scan(packed)
    assert caught.value.code == "E-GZIP-AROUND"
