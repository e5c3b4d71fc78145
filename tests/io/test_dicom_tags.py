"""Values of DICOM tags as they come: empty is absent, malformed is refused by name, wherever the tag lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from delineate.core.errors import InputError
from delineate.core.grid import Placement
from delineate.io.opening import open_scan
from small_dicom import dicom, enhanced, item, levels, with_raw

ONE = levels(1)[0]


@pytest.mark.parametrize(
    "name", ["PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "RescaleSlope",
             "RescaleIntercept", "WindowCenter", "NumberOfFrames", "FrameTime"]
)  # fmt: skip
def test_an_empty_value_is_absent(tmp_path: Path, name: str) -> None:
    scan = open_scan(with_raw(dicom(tmp_path / "a.dcm", ONE), name, b""))
    np.testing.assert_array_equal(scan.pixels(0), ONE)
    places = ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
    assert (scan.grid.placement is Placement.WORLD) == (name not in places)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("PixelSpacing", b"0,5\\0,5"),
        ("PixelSpacing", b"0.5"),
        ("PixelSpacing", b"0.5\\0.5\\0.5 "),
        ("PixelSpacing", b"nan\\1 "),
        ("ImagePositionPatient", b"1\\2\\x "),
        ("ImagePositionPatient", b"1\\2 "),
        ("ImageOrientationPatient", b"1\\0\\0\\0\\1 "),
        ("SliceThickness", b"n/a "),
        ("RescaleSlope", b"1,5 "),
        ("RescaleIntercept", b"inf "),
        ("NumberOfFrames", b"x "),
        ("NumberOfFrames", b"1.5 "),
        ("WindowWidth", b"wide"),
    ],
)
def test_a_malformed_value_is_named(tmp_path: Path, name: str, raw: bytes) -> None:
    path = with_raw(dicom(tmp_path / "a.dcm", ONE, WindowCenter=40, WindowWidth=400), name, raw)
    with pytest.raises(InputError, match=name) as caught:
        open_scan(path)
    assert caught.value.code == "E-DICOM-TAG" and "a.dcm" in str(caught.value)


@pytest.mark.parametrize(("value", "code"), [([0, 1], "E-DICOM-SPACING"), ([-1, 1], "E-DICOM-SPACING")])
def test_lengths_are_above_zero(tmp_path: Path, value: list[float], code: str) -> None:
    with pytest.raises(InputError) as caught:
        open_scan(dicom(tmp_path / "a.dcm", ONE, PixelSpacing=value))
    assert caught.value.code == code


@pytest.mark.parametrize("cosines", [[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 2, 0], [1, 0, 0, 0.3, 1, 0]])
def test_directions_are_right_angled(tmp_path: Path, cosines: list[float]) -> None:
    with pytest.raises(InputError) as caught:
        open_scan(dicom(tmp_path / "a.dcm", ONE, ImageOrientationPatient=cosines))
    assert caught.value.code == "E-DICOM-ORIENTATION"


def test_tags_of_functional_groups_are_held_to_the_same(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "a.dcm", levels(2), [(0, 0, 0), (0, 0, 3)], PixelSpacing=[9, 9])
    assert open_scan(path).grid.spacing == pytest.approx((0.7, 0.5, 3))  # the frame's own before the file's
    wrong = enhanced(tmp_path / "b.dcm", levels(2), [(0, 0, 0), (0, 0)])
    with pytest.raises(InputError, match="ImagePositionPatient") as caught:
        open_scan(wrong)
    assert caught.value.code == "E-DICOM-TAG"


def test_one_bad_file_hides_no_others(tmp_path: Path) -> None:
    for n in range(3):
        dicom(tmp_path / f"{n}.dcm", levels(3)[n], z=2 * n)
    with_raw(dicom(tmp_path / "bad.dcm", ONE, z=6), "PixelSpacing", b"0,5\\0,5")
    scan = open_scan(tmp_path)
    assert len(scan) == 3
    told = next(notice.message for notice in scan.notices if notice.code == "W-DICOM-DAMAGED")
    assert "bad.dcm" in told and "PixelSpacing" in told


@pytest.mark.parametrize("uid", [b"1.2.840.113619.5.2\0\0", b"1.2.840.10008.1.2.4.110", b"1.2.840.10008.1.2.4.102"])
def test_unknown_compression_is_called_so(tmp_path: Path, uid: bytes) -> None:
    path = dicom(tmp_path / "a.dcm", ONE)
    data = path.read_bytes()
    old = b"1.2.840.10008.1.2.1\0"
    at = data.index(old) - 2
    padded = uid + b"\0" * (len(uid) % 2)
    length = int.from_bytes(data[140:144], "little") + len(padded) - len(old)
    head = data[:140] + length.to_bytes(4, "little") + data[144:at]
    path.write_bytes(head + len(padded).to_bytes(2, "little") + padded + data[at + 2 + len(old) :])
    with pytest.raises(InputError) as caught:
        open_scan(path)
    assert caught.value.code in ("E-DICOM-SYNTAX", "E-DICOM-PIXELS")


@pytest.mark.parametrize(
    "first", [{"ImageType": ["ORIGINAL", "PRIMARY"]}, {"InstanceCreationDate": "20200101"}, {"SOPClassUID": "1.2.3"},
              {"StudyDate": "20200101"}]
)  # fmt: skip
@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_a_preamble_are_known(tmp_path: Path, first: dict[str, str], implicit: bool) -> None:
    import pydicom

    data = pydicom.dcmread(dicom(tmp_path / "a.dcm", ONE))
    bare = Dataset()
    bare.update({e.tag: e for e in data if e.tag.group > 8 or e.keyword == "Modality"})
    for name, value in first.items():
        setattr(bare, name, value)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    write_dataset(buffer, bare)
    (tmp_path / "b").write_bytes(buffer.getvalue())
    assert open_scan(tmp_path / "b").width == ONE.shape[1]


def test_an_index_of_a_study_is_no_picture(tmp_path: Path) -> None:
    path = dicom(tmp_path / "index", ONE, Rows=None)
    import pydicom

    data = pydicom.dcmread(path)
    data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    del data.SOPClassUID
    data.save_as(path)
    with pytest.raises(InputError) as caught:
        open_scan(path)
    assert caught.value.code == "E-DICOM-DICOMDIR"


@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_mosaic_is_refused(tmp_path: Path, where: str) -> None:
    for n in range(2):
        dicom(tmp_path / f"{n}.dcm", ONE, z=n, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    with pytest.raises(InputError) as caught:
        open_scan(tmp_path if where == "folder" else tmp_path / "0.dcm")
    assert caught.value.code == "E-DICOM-MOSAIC"


def test_frames_and_their_descriptions_are_as_many(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "a.dcm", levels(3), [(0, 0, 0), (0, 0, 1)])
    with pytest.raises(InputError) as caught:
        open_scan(path)
    assert caught.value.code == "E-DICOM-FRAMES"


def test_an_ultrasound_region_in_centimeters_gives_the_pixel_size(tmp_path: Path) -> None:
    region = item(PhysicalUnitsXDirection=3, PhysicalUnitsYDirection=3, PhysicalDeltaX=0.02, PhysicalDeltaY=-0.03)
    path = dicom(tmp_path / "a.dcm", ONE, None, Modality="US", SequenceOfUltrasoundRegions=region)
    assert open_scan(path).grid.spacing == pytest.approx((0.2, 0.3))
