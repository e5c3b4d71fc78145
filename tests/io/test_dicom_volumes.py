"""Which slices make a volume: distinguished by what files say, listed where several do, refused where they disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.core.errors import InputError
from delineate.core.grid import Placement
from delineate.core.scan import ScanKind
from delineate.io.opening import open_scan
from small_dicom import UPRIGHT, dicom, enhanced, item, levels


def two_volumes(folder: Path, values: Any) -> Path:
    """Four slices at each of two values of some tags; ``values``: tags of volume 0 and 1 at slice k."""
    for volume in (0, 1):
        for k in range(4):
            dicom(folder / f"{volume}{k}.dcm", levels(4)[k] + 1000 * volume, z=3 * k, **values(volume, k))
    return folder


DIFFERENCES = {
    "acquisition": lambda v, k: {"AcquisitionNumber": v + 1},
    "echo": lambda v, k: {"EchoNumbers": v + 1, "EchoTime": 10 + 20 * v},
    "echo time": lambda v, k: {"EchoTime": 4.6 + 2.3 * v},
    "b-value": lambda v, k: {"DiffusionBValue": 1000.0 * v},
    "image type": lambda v, k: {"ImageType": ["ORIGINAL", "PRIMARY", "WF"[v]]},
    "time point": lambda v, k: {"TemporalPositionIdentifier": v + 1},
    "trigger time": lambda v, k: {"TriggerTime": 40.0 * v},
    "trigger time, slice by slice": lambda v, k: {"TriggerTime": 40.0 * v + 0.5 * k},
    "content time": lambda v, k: {"ContentTime": f"10{v}0{k}0"},
    "contrast": lambda v, k: {"ContrastBolusAgent": "Agent" if v else None},
    "kernel": lambda v, k: {"ConvolutionKernel": "BS"[v]},
    "peak voltage": lambda v, k: {"KVP": 80 + 60 * v},
    "pass": lambda v, k: {"InstanceNumber": 4 * v + k + 1},
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_volumes_of_a_series_are_listed_and_chosen(tmp_path: Path, name: str) -> None:
    folder = two_volumes(tmp_path, DIFFERENCES[name])
    with pytest.raises(InputError) as caught:
        open_scan(folder)
    text = str(caught.value)
    assert caught.value.code == "E-DICOM-SERIES" and "--series" in text
    assert "#1" in text and "#2" in text and "4 slices" in text and name.split(",")[0] in text
    assert "Agent" not in text  # typed in by a person
    found = [open_scan(folder, series=f"#{n}").voxels() for n in (1, 2)]
    expected = [(levels(4) + 1000 * v).transpose(2, 1, 0) for v in (0, 1)]
    assert {found[0].tobytes(), found[1].tobytes()} == {one.tobytes() for one in expected}


def test_the_choice_is_kept_by_position(tmp_path: Path) -> None:
    scan = open_scan(two_volumes(tmp_path, DIFFERENCES["b-value"]), series="b-value 1000")
    assert scan.file is not None and scan.file.series == "#2"


FRAME_DIFFERENCES = {
    "echo time": lambda v: {"MREchoSequence": item(EffectiveEchoTime=4.6 + 2.3 * v)},
    "b-value": lambda v: {"MRDiffusionSequence": item(DiffusionBValue=1000.0 * v)},
    "component": lambda v: {"MRImageFrameTypeSequence": item(ComplexImageComponent=("MAGNITUDE", "PHASE")[v])},
    "time point": lambda v: {"FrameContentSequence": item(TemporalPositionIndex=v + 1)},
    "stack": lambda v: {"FrameContentSequence": item(StackID=str(v + 1))},
    "dimension": lambda v: {"FrameContentSequence": item(DimensionIndexValues=[v + 1, 7])},
}


@pytest.mark.parametrize("name", FRAME_DIFFERENCES)
def test_volumes_of_one_file_are_listed_and_chosen(tmp_path: Path, name: str) -> None:
    places = [(0.0, 0.0, 3.0 * (n % 4)) for n in range(8)]
    path = enhanced(tmp_path / "a.dcm", levels(8), places, lambda n: FRAME_DIFFERENCES[name](n // 4))
    with pytest.raises(InputError, match=name) as caught:
        open_scan(path)
    assert caught.value.code == "E-DICOM-SERIES"
    for volume in (0, 1):
        scan = open_scan(path, series=f"#{volume + 1}")
        np.testing.assert_array_equal(scan.voxels(), levels(8)[4 * volume : 4 * volume + 4].transpose(2, 1, 0))
        assert scan.file is not None and scan.file.series == f"#{volume + 1}"


def test_frames_at_one_place_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "a.dcm", levels(8), [(0, 0, 3 * (n % 4)) for n in range(8)])
    with pytest.raises(InputError, match=r"frame 0 of a.dcm and frame 4 of a.dcm") as caught:
        open_scan(path)
    assert caught.value.code == "E-DICOM-DUPLICATE"


def test_the_same_frame_twice_is_taken_once(tmp_path: Path) -> None:
    pixels = levels(4)[[0, 1, 2, 2, 3]]
    scan = open_scan(enhanced(tmp_path / "a.dcm", pixels, [(0, 0, z) for z in (0, 3, 6, 6, 9)]))
    assert len(scan) == 4 and "W-DICOM-DUPLICATE" in [n.code for n in scan.notices]


def test_planes_of_a_survey_are_volumes_of_their_own(tmp_path: Path) -> None:
    sagittal = item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    groups = lambda n: {"PlaneOrientationSequence": sagittal} if n > 2 else {}  # noqa: E731
    path = enhanced(
        tmp_path / "a.dcm", levels(6), [(5.0 * (n > 2) * n, 0, 4.0 * (n < 3) * n) for n in range(6)], groups
    )
    with pytest.raises(InputError, match=r"(?s)axial.*sagittal"):
        open_scan(path)
    assert len(open_scan(path, series="sagittal")) == 3


def test_one_frame_files_and_parts_are_put_together(tmp_path: Path) -> None:
    one = open_scan(enhanced(tmp_path / "one.dcm", levels(1), [(5, 6, 7)]))
    assert one.kind is ScanKind.IMAGE and one.grid.spacing == (0.7, 0.5)
    for n in range(4):
        enhanced(tmp_path / "many" / f"{n}.dcm", levels(4)[n : n + 1], [(0, 0, 3 * n)])
    for part in range(2):
        places = [(0, 0, 3 * (2 * part + m)) for m in range(2)]
        enhanced(tmp_path / "parts" / f"{part}.dcm", levels(4)[2 * part : 2 * part + 2], places)
    for folder in ("many", "parts"):
        scan = open_scan(tmp_path / folder)
        np.testing.assert_array_equal(scan.voxels(), levels(4).transpose(2, 1, 0))
        assert scan.grid.spacing == pytest.approx((0.7, 0.5, 3))


@pytest.mark.parametrize(
    ("tags", "code", "says"),
    [
        ({"PixelSpacing": [1.5, 1.5]}, "E-DICOM-MIXED", "1.5 x 1.5"),
        ({"ImagePositionPatient": [40, 0, 4]}, "E-DICOM-SHIFT", "40.00 mm"),
        ({"ImagePositionPatient": [0, -3, 4]}, "E-DICOM-SHIFT", "3.00 mm"),
        ({"FrameOfReferenceUID": "1.2.9"}, "E-DICOM-MIXED", "FrameOfReferenceUID"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "E-DICOM-MIXED", "PhotometricInterpretation"),
    ],
)
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_slice_that_disagrees_is_named(tmp_path: Path, tags: Any, code: str, says: str, at: int) -> None:
    place = tags.get("ImagePositionPatient")
    odd = tags | ({"ImagePositionPatient": [*place[:2], 2 * at]} if place else {})
    for n in range(5):
        about = {"FrameOfReferenceUID": "1.2.3"} | (odd if n == at else {})
        dicom(tmp_path / f"{n}.dcm", levels(5)[n], z=2 * n, **about)
    with pytest.raises(InputError, match=says) as caught:
        open_scan(tmp_path)
    assert caught.value.code == code and f"{at}.dcm" in str(caught.value)


def test_pixels_wider_than_the_slice_distance_do_not_turn_the_slices(tmp_path: Path) -> None:
    for n in range(4):
        dicom(tmp_path / f"{n}.dcm", levels(4)[n], z=0.5 * n, PixelSpacing=[3.4, 3.4])
    assert open_scan(tmp_path).slice_axis == 2


CBCT = {"PixelSpacing": [0.3, 0.3], "SpacingBetweenSlices": "0.4", "ImagePositionPatient": [0, 0, 0],
        "ImageOrientationPatient": UPRIGHT}  # fmt: skip
NM = {"Modality": "NM", "PixelSpacing": [4, 4], "SpacingBetweenSlices": "0.4", "SliceVector": [1, 2, 3],
      "DetectorInformationSequence": item(ImageOrientationPatient=UPRIGHT, ImagePositionPatient=[0, 0, 0])}  # fmt: skip
DOSE = {**CBCT, "SpacingBetweenSlices": None, "Modality": "RTDOSE", "GridFrameOffsetVector": [0, 0.4, 0.8],
        "DoseGridScaling": "0.25"}  # fmt: skip


@pytest.mark.parametrize("tags", [CBCT, NM, DOSE], ids=["cone-beam", "nuclear", "dose"])
def test_frames_are_slices_where_the_file_says_so(tmp_path: Path, tags: Any) -> None:
    path = dicom(tmp_path / "a.dcm", levels(3), None, **tags)
    scan = open_scan(path)
    assert scan.kind is ScanKind.VOLUME and scan.grid.spacing[2] == pytest.approx(0.4)
    factor = 0.25 if "DoseGridScaling" in tags else 1
    np.testing.assert_allclose(scan.voxels(), levels(3).transpose(2, 1, 0) * factor)
    assert open_scan(path, pages="video").kind is ScanKind.VIDEO
    assert ("W-DICOM-STACKED" in [n.code for n in scan.notices]) == (tags is CBCT)


def test_frames_are_slices_where_a_person_says_so(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", levels(3), None, Modality="US")
    assert open_scan(path).kind is ScanKind.VIDEO
    scan = open_scan(path, pages="stack")
    assert scan.kind is ScanKind.VOLUME and scan.grid.placement is Placement.PIXELS
    assert "W-DICOM-STACKED" in [n.code for n in scan.notices]


def test_files_without_a_place_are_taken_in_order_where_a_person_says_so(tmp_path: Path) -> None:
    for n in range(3):
        dicom(tmp_path / f"{'cab'[n]}.dcm", levels(3)[n], None, InstanceNumber=n + 1)
    with pytest.raises(InputError, match="--pages") as caught:
        open_scan(tmp_path)
    assert caught.value.code == "E-DICOM-NO-POSITION"
    np.testing.assert_array_equal(open_scan(tmp_path, pages="stack").voxels(), levels(3).transpose(2, 1, 0))
    assert [int(open_scan(tmp_path, pages="video").pixels(n)[0, 0]) for n in range(3)] == [0, 100, 200]


def test_a_gap_is_not_filled_without_end(tmp_path: Path) -> None:
    for n, z in enumerate((0, 1, 2, 3, 500)):
        dicom(tmp_path / f"{n}.dcm", levels(5)[n], z=z)
    with pytest.raises(InputError) as caught:
        open_scan(tmp_path, resample_irregular=True)
    assert caught.value.code == "E-DICOM-GAP"
