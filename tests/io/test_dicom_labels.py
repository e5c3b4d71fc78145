"""DICOM segmentations and contours of radiotherapy as labels and as prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from bright_predictor import BrightPredictor
from delineate.core.errors import DelineateError, Notice
from delineate.data.cases import on_the_scan
from delineate.data.label_pictures import open_labels
from delineate.io.opening import open_scan
from delineate.labels.reading import open_segmentation
from delineate.oneshot.examples import read_example
from delineate.session import Session
from delineate.verbs.convert import ConvertRequest, convert
from delineate.verbs.measure import MeasureRequest, measure
from delineate.verbs.prompt_files import drawn_slices, marker_prompts, mask_prompt
from delineate.verbs.starting import Start, continued
from small_dicom import item
from small_dicom_labels import SHAPE, STEP, drawn, seg, series, square, structures


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_segments_are_labels_on_their_own_grid(kind: str, tmp_path: Path) -> None:
    first, second = drawn(2, 6), drawn(8, 14)
    values = [first * 0.9 + ~first * 0.2 * second, second * 0.6] if kind == "FRACTIONAL" else [first, second]
    path = seg(tmp_path / "seg.dcm", values, kind)
    found = open_segmentation(path)
    assert [(one.name, one.label) for one in found.segmentation.objects] == [("structure 1", 1), ("structure 2", 2)]
    labels = found.scan.voxels()
    assert labels.shape == (16, 12, 3) and np.array_equal(labels == 1, first[2:5].transpose(2, 1, 0))
    assert np.allclose(found.scan.grid.to_world((0, 0, 0), "LPS"), (0, 0, 2 * STEP))
    assert np.array_equal(open_labels(path).voxels(), labels)


def test_a_segmentation_is_a_mask_prompt_on_the_scan(tmp_path: Path) -> None:
    scan = open_scan(series(tmp_path / "ct"))
    path = seg(tmp_path / "seg.dcm", [drawn(2, 6), drawn(8, 14)])
    prompt, notices = mask_prompt(path, scan, 3, 2)
    assert np.array_equal(prompt.array, drawn(8, 14)[3])
    assert {"W-DICOM-SEG", "W-MASK-RESAMPLED"} <= {notice.code for notice in notices}


def test_overlap_is_told_and_frames_left_out_are_empty(tmp_path: Path) -> None:
    gap = drawn(2, 6)
    gap[3] = False
    scan = open_scan(seg(tmp_path / "seg.dcm", [gap, drawn(4, 10)]), palette_indices=True)
    assert "W-LABELS-OVERLAP" in {notice.code for notice in scan.notices}
    assert scan.voxels()[2:4, 3:9, 1].max() == 0 and scan.voxels()[2:4, 3:9, 0].min() == 1


def test_as_a_scan_it_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DelineateError, match="--mask"):
        open_scan(seg(tmp_path / "seg.dcm", [drawn(2, 6)]))


def changed(path: Path, change: Any) -> Path:
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)
    return path


def no_segment(data: Dataset) -> None:
    for group in data.PerFrameFunctionalGroupsSequence:
        del group.SegmentIdentificationSequence


def no_place(data: Dataset) -> None:
    for group in data.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence


def shifted(data: Dataset) -> None:
    data.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [5, 0, 8]


def between(data: Dataset) -> None:
    data.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 7.1]


def absurd(data: Dataset) -> None:
    data.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [0, 0, 2e12]


def cut(data: Dataset) -> None:
    data.PixelData = data.PixelData[:4]


@pytest.mark.parametrize("change", [no_segment, no_place, shifted, between, absurd, cut])
def test_what_contradicts_itself_is_refused(change: Any, tmp_path: Path) -> None:
    path = changed(seg(tmp_path / "seg.dcm", [drawn(2, 6)]), change)
    with pytest.raises(DelineateError) as caught:
        open_scan(path, palette_indices=True).voxels()
    assert "seg.dcm" in caught.value.message and caught.value.hint


def test_contours_are_filled_on_the_scan_they_were_drawn_on(tmp_path: Path) -> None:
    scan = open_scan(series(tmp_path / "ct"))
    outer = [square(1.5, 2.5, 9.5, 9.5, k) for k in (1, 2, 3)]
    path = structures(tmp_path / "rt.dcm", [*outer, square(3.5, 4.5, 6.5, 7.5, 2)], [square(10.5, 2.5, 13.5, 5.5, 2)])
    prompt, notices = mask_prompt(path, scan, 2, 1)
    wanted = np.zeros(SHAPE[1:], bool)
    wanted[3:10, 2:10] = True
    wanted[5:8, 4:7] = False  # a contour within another is a hole
    assert np.array_equal(prompt.array, wanted) and "W-RTSTRUCT" in {one.code for one in notices}
    assert mask_prompt(path, scan, 2, 2)[0].array.sum() == 9
    with pytest.raises(DelineateError, match="label"):
        mask_prompt(path, scan, 2)


def test_contours_beside_the_scan_or_its_slices_are_refused(tmp_path: Path) -> None:
    scan = open_scan(series(tmp_path / "ct"))
    far = structures(tmp_path / "far.dcm", [square(1, 1, 5, 5, 90)])
    tilted = [(1.0, 1.0, 2.0), (9.0, 1.0, 4.0), (9.0, 9.0, 6.0)]
    for path in (far, structures(tmp_path / "tilted.dcm", [tilted]), structures(tmp_path / "none.dcm")):
        with pytest.raises(DelineateError) as caught:
            mask_prompt(path, scan, None)
        assert caught.value.code.startswith("E-RTSTRUCT") and path.name in caught.value.message
    from delineate.core.scan import Scan

    with pytest.raises(DelineateError, match="where it lies"):
        mask_prompt(far, Scan.from_image(np.zeros((9, 9), np.uint8)), None)


HERE, THERE = "1.2.3.77", "1.2.3.88"  # frames of reference
Reader = Callable[[Path, Path], tuple[Notice, ...]]  # labels laid on a scan


def _seg_of(path: Path, patient: str, room: str, series: str) -> Path:
    tags: dict[str, Any] = {"PatientID": patient or None, "FrameOfReferenceUID": room or None}
    if series:
        tags["ReferencedSeriesSequence"] = item(SeriesInstanceUID=series)
    return seg(path, [np.where(np.arange(SHAPE[0])[:, None, None] >= 0, drawn(2, 6).any(0), False)], **tags)


def _contours_of(path: Path, patient: str, room: str, series: str) -> Path:
    def said(data: Dataset) -> None:
        data.PatientID = patient
        if room:
            data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = room
        if series:
            referred = item(RTReferencedSeriesSequence=item(SeriesInstanceUID=series))
            data.ReferencedFrameOfReferenceSequence = item(FrameOfReferenceUID=room, RTReferencedStudySequence=referred)

    return changed(structures(path, [square(2, 3, 6, 9, 3)]), said)


def _as_mask(labels: Path, scan: Path) -> tuple[Notice, ...]:
    return mask_prompt(labels, open_scan(scan), None)[1]


def _gone_on(labels: Path, scan: Path) -> tuple[Notice, ...]:
    return continued(Start(labels), (), open_scan(scan), BrightPredictor())[0].notices


READERS: dict[str, Reader] = {
    "mask": _as_mask,
    "markers": lambda labels, scan: marker_prompts(labels, open_scan(scan))[1],
    "between": lambda labels, scan: drawn_slices(labels, open_scan(scan))[1],
    "from": _gone_on,
    "case": lambda labels, scan: on_the_scan(open_scan(scan), open_labels(labels), "labels").scan.notices,
    "support": lambda labels, scan: read_example(scan, labels).scan.notices,
    "measure": lambda labels, scan: measure(MeasureRequest(input=labels, scan=scan)).notices,
    "convert": lambda labels, scan: (
        convert(ConvertRequest(input=labels, like=scan, output=labels.parent / "out.nii.gz", kind="labels")).notices
    ),
}
CODES = {"W-LABELS-REFERENCE", "W-LABELS-SERIES", "E-LABELS-PATIENT"}
TOLD = [
    pytest.param(("a", HERE, "1.2.3.4"), set(), id="its-own"),
    pytest.param(("", "", ""), set(), id="says-nothing"),
    pytest.param(("b", HERE, "1.2.3.4"), set(), id="names-removed-otherwise"),
    pytest.param(("a", THERE, ""), {"W-LABELS-REFERENCE"}, id="another-frame-of-reference"),
    pytest.param(("", THERE, ""), {"W-LABELS-REFERENCE"}, id="another-and-no-patient"),
    pytest.param(("a", HERE, "1.2.3.5"), {"W-LABELS-SERIES"}, id="another-series"),
    pytest.param(("b", THERE, ""), {"E-LABELS-PATIENT"}, id="another-patient"),
    pytest.param(("b", "", ""), {"E-LABELS-PATIENT"}, id="another-patient-without-reference"),
]


@pytest.mark.parametrize("made", [_seg_of, _contours_of])
@pytest.mark.parametrize(("said", "codes"), TOLD)
def test_labels_of_another_place_or_patient_are_told(made: Any, said: Any, codes: set[str], tmp_path: Path) -> None:
    scan = series(tmp_path / "ct", PatientID="a", FrameOfReferenceUID=HERE)
    assert _codes(_as_mask, made(tmp_path / "labels.dcm", *said), scan) == codes


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_labels_holds_them_against_the_scan(reader: str, tmp_path: Path) -> None:
    scan = series(tmp_path / "ct", PatientID="a", FrameOfReferenceUID=HERE)
    told = _codes(READERS[reader], _seg_of(tmp_path / "a" / "labels.dcm", "a", THERE, ""), scan)
    assert told == {"W-LABELS-REFERENCE"}
    refused = _codes(READERS[reader], _seg_of(tmp_path / "b" / "labels.dcm", "b", THERE, ""), scan)
    assert refused == {"E-LABELS-PATIENT"}


def test_no_identifier_of_a_patient_is_kept(tmp_path: Path) -> None:
    scan = open_scan(series(tmp_path / "ct", PatientID="MUSTERMANN", FrameOfReferenceUID=HERE))
    record = Session(scan, BrightPredictor()).manifest().model_dump_json()
    assert "MUSTERMANN" not in repr(scan.origin) + repr(scan) + record and HERE not in record


def _codes(reader: Reader, labels: Path, scan: Path) -> set[str]:
    try:
        found = {notice.code for notice in reader(labels, scan)}
    except DelineateError as error:
        found = {error.code}
    return found & CODES
