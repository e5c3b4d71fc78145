"""DICOM segmentations and contours of radiotherapy as labels and as prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from delineate.core.errors import DelineateError
from delineate.data.label_pictures import open_labels
from delineate.io.opening import open_scan
from delineate.labels.reading import open_segmentation
from delineate.verbs.prompt_files import mask_prompt
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
