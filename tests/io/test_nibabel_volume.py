"""PAR/REC, AFNI and MINC volumes as nibabel reads them, and what is refused of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.core.errors import DelineateError
from delineate.io.opening import open_scan

DATA = Path(nib.__file__).parent / "tests" / "data"  # comes with nibabel
PAR, MINC, MANY = "phantom_EPI_asc_CLEAR_2_1.PAR", "tiny.mnc", "minc1_4d.mnc"
AFNI, PACKED = "scaled+tlrc.HEAD", "example4d+orig.HEAD"
pytestmark = pytest.mark.skipif(not (DATA / MINC).is_file(), reason="nibabel was installed without its test data")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    voxels = (AFNI.replace(".HEAD", ".BRIK"), PACKED.replace(".HEAD", ".BRIK.gz"))
    for name in (PAR, PAR.replace(".PAR", ".REC"), MINC, MANY, AFNI, PACKED, *voxels):
        shutil.copy(DATA / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "index"),
    [(PAR, 0), (PAR, 2), (MINC, None), (MANY, 1), (AFNI, None), (PACKED, 2), (PACKED.replace(".HEAD", ".BRIK.gz"), 0)],
)
def test_values_and_places_are_those_nibabel_reads(files: Path, name: str, index: int | None) -> None:
    scan, image = open_scan(files / name, index=index), nib.load(files / name.replace(".BRIK.gz", ".HEAD"))
    values = np.asarray(image.dataobj, np.float32)
    if index is not None:
        values = values[index] if name == MANY else values[..., index]
    assert np.array_equal(scan.voxels(), values.reshape(values.shape[:3]))  # AFNI says that it is one volume
    np.testing.assert_allclose(scan.grid.affine, image.affine)


@pytest.mark.parametrize("name", [PAR, MANY, PACKED])
def test_of_several_volumes_one_has_to_be_chosen(files: Path, name: str) -> None:
    for index, code in ((None, "E-VOLUME-4D"), (99, "E-PAGE-RANGE"), (-1, "E-PAGE-RANGE")):
        with pytest.raises(DelineateError) as caught:
            open_scan(files / name, index=index)
        assert caught.value.code == code


@pytest.mark.parametrize("left", [0, 10, 300, 3000])
@pytest.mark.parametrize("name", [PAR, PAR.replace(".PAR", ".REC"), MINC, AFNI, AFNI.replace(".HEAD", ".BRIK")])
def test_what_is_cut_or_missing_is_refused(files: Path, name: str, left: int) -> None:
    part = files / name
    part.write_bytes(part.read_bytes()[: min(left, part.stat().st_size // 2)])
    header = {PAR.replace(".PAR", ".REC"): PAR, AFNI.replace(".HEAD", ".BRIK"): AFNI}.get(name, name)
    with pytest.raises(DelineateError):
        open_scan(files / header, index=0 if header == PAR else None)


def test_a_header_alone_names_the_file_that_is_missing(files: Path) -> None:
    (files / PAR.replace(".PAR", ".REC")).unlink()
    with pytest.raises(DelineateError, match=r"phantom.*REC, which is missing"):
        open_scan(files / PAR)


def test_minc_2_is_refused_with_the_way_out(tmp_path: Path) -> None:
    shutil.copy(DATA / "minc2_1_scale.mnc", tmp_path / "a.mnc")
    with pytest.raises(DelineateError, match=r"a.mnc is an HDF5 file, such as MINC 2.*\n.*mnc2nii") as caught:
        open_scan(tmp_path / "a.mnc")
    assert caught.value.code == "E-FORMAT-UNKNOWN"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x80\x04\x95", "Python pickle"), (b"BZh91AY", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"7z\xbc\xaf'\x1c", "7-Zip"),
        (b"%PDF-1.7", "PDF"), (b"MATLAB 5.0 MAT-file", "MATLAB"), (b"ZISRAWFILE", "CZI"), (b"\xff\x0a\xfa", "JPEG XL"),
        (bytes(257) + b"ustar", "tar archive"),
    ],
)  # fmt: skip
def test_other_known_files_are_named(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "scan.nii.gz.x"
    file.write_bytes(content + bytes(600))
    with pytest.raises(DelineateError, match=says) as caught:
        open_scan(file)
    assert caught.value.code == "E-FORMAT-UNKNOWN" and caught.value.hint
