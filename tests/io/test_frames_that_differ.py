"""DICOM frames that differ in what their numbers mean: each is read as it says itself, and nothing wraps or is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from delineate.core.manifest import InputRecord
from delineate.io.opening import open_scan
from delineate.verbs.inspect import InspectRequest, inspect
from small_dicom import dicom, item, levels

ENHANCED, SECONDARY = "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.7"
STORED = levels(1)[0] * 100


@pytest.mark.parametrize("slopes", [(1, 0.3), (0.3, 1), (1, -1), (1, 2000), (1, 30_000)], ids=str)
def test_a_clip_whose_frames_are_rescaled_each_its_own_way(tmp_path: Path, slopes: tuple[float, ...]) -> None:
    path = dicom(tmp_path / "c.dcm", np.stack([STORED] * 2), None, ENHANCED)
    data = pydicom.dcmread(path)
    data.PerFrameFunctionalGroupsSequence = Sequence()
    for slope in slopes:
        group = Dataset()
        group.PixelValueTransformationSequence = item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US")
        data.PerFrameFunctionalGroupsSequence.append(group)
    data.save_as(path)
    scan = open_scan(path, pages="video")
    for index, slope in enumerate(slopes):
        np.testing.assert_allclose(scan.pixels(index), STORED.astype(float) * slope, rtol=1e-6)


@pytest.mark.parametrize("slope,intercept", [(2, 0), (1, -1), (1, 5)])
def test_numbers_of_32_bits_do_not_wrap_when_they_are_rescaled(tmp_path: Path, slope: int, intercept: int) -> None:
    stored = (np.arange(36).reshape(6, 6) * 100_000_000).astype(np.uint32)
    path = dicom(tmp_path / "d.dcm", stored, RescaleSlope=slope, RescaleIntercept=intercept)
    assert np.array_equal(open_scan(path).pixels(0), stored.astype(np.int64) * slope + intercept)


@pytest.mark.parametrize("inverted", [0, 1])
@pytest.mark.parametrize("pages", ["video", "stack"])
def test_only_what_shows_low_values_bright_is_inverted(tmp_path: Path, inverted: int, pages: str) -> None:
    for n in (0, 1):
        kind = "MONOCHROME1" if n == inverted else "MONOCHROME2"
        about: dict[str, Any] = {"PhotometricInterpretation": kind, "WindowCenter": 100, "WindowWidth": 100}
        dicom(tmp_path / f"{n}.dcm", STORED, None, InstanceNumber=n + 1, **about)
    scan = open_scan(tmp_path, pages=pages)
    assert np.array_equal(scan.pixels(inverted), 65535 - STORED.astype(int))
    assert np.array_equal(scan.pixels(1 - inverted), STORED)
    assert scan.window == ((50, 150) if inverted else (65535 - 150, 65535 - 50))


@pytest.mark.parametrize("table,shown", [((0, 200, 50_000, 65_535), (0, 195)), ((0, 200, 50, 255), (200, 50))], ids=str)
def test_one_palette_means_the_same_on_a_dark_frame(
    tmp_path: Path, table: tuple[int, ...], shown: tuple[int, ...]
) -> None:
    words: dict[str, Any] = {}
    for color in ("Red", "Green", "Blue"):
        words[f"{color}PaletteColorLookupTableDescriptor"] = [len(table), 0, 16]
        words[f"{color}PaletteColorLookupTableData"] = np.array(table, np.uint16).tobytes()
    pixels = np.stack([np.full((6, 6), n, np.uint8) for n in (1, 2)])
    path = dicom(tmp_path / "p.dcm", pixels, None, SECONDARY, PhotometricInterpretation="PALETTE COLOR", **words)
    scan = open_scan(path, pages="video")
    assert [int(scan.pixels(n)[0, 0, 0]) for n in (0, 1)] == list(shown)


def region(step: float, units: int = 3) -> Dataset:
    return item(PhysicalUnitsXDirection=units, PhysicalUnitsYDirection=units, PhysicalDeltaX=step, PhysicalDeltaY=step)[
        0
    ]


@pytest.mark.parametrize(
    "regions,spacing",
    [
        ([region(0.01)], (0.1, 0.1)),
        ([region(0.01), region(0.01)], (0.1, 0.1)),
        ([region(9, 4), region(0.01)], (0.1, 0.1)),
        ([region(0.01), region(0.02)], None),
        ([region(9, 4)], None),
    ],
    ids=["one", "alike", "beside a spectrum", "of two scales", "a spectrum"],
)
def test_ultrasound_regions_say_mm_only_where_they_agree(
    tmp_path: Path, regions: list[Dataset], spacing: tuple[float, ...] | None
) -> None:
    path = dicom(tmp_path / "u.dcm", STORED, None, Modality="US", SequenceOfUltrasoundRegions=Sequence(regions))
    scan = open_scan(path)
    known = scan.grid.placement != "pixels"
    assert (scan.grid.spacing if known else None) == (None if spacing is None else pytest.approx(spacing))
    assert ("W-DICOM-REGIONS" in {n.code for n in scan.notices}) == (not known and len(regions) > 1)


@pytest.mark.parametrize(
    "about,spacing,code",
    [
        ({"SequenceOfUltrasoundRegions": Sequence([region(0.03), region(9, 4)])}, (0.3, 0.3), None),
        ({"SequenceOfUltrasoundRegions": Sequence([region(0.03), region(0.02)])}, None, "W-DICOM-REGIONS"),
        ({"PixelSpacing": [0.2, 0.4]}, (0.4, 0.2), None),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, (0.2, 0.2), "W-DICOM-DETECTOR"),
        ({}, None, None),
    ],
    ids=["ultrasound", "of two scales", "patient", "detector", "unknown"],
)
def test_a_clip_has_the_pixel_size_that_its_file_says(
    tmp_path: Path, about: dict[str, Any], spacing: tuple[float, ...] | None, code: str | None
) -> None:
    path = dicom(tmp_path / "c.dcm", np.stack([STORED] * 3), None, Modality="US", FrameTime=40, **about)
    scan = open_scan(path)
    assert scan.kind == "video" and scan.times == pytest.approx((0, 0.04, 0.08))
    assert scan.spacing == (None if spacing is None else pytest.approx(spacing))
    assert InputRecord.of(scan).spacing_mm == scan.spacing
    shown = "unknown" if spacing is None else f"{spacing[0]:g} x {spacing[1]:g} mm"
    assert inspect(InspectRequest(input=path)).spacing == shown
    assert {n.code for n in scan.notices if n.code.startswith("W-DICOM")} == ({code} if code else set())


@pytest.mark.parametrize("patient,told", [(None, True), ([0.1, 0.1], False)], ids=["detector", "patient"])
def test_lengths_on_the_detector_are_told(tmp_path: Path, patient: list[float] | None, told: bool) -> None:
    path = dicom(tmp_path / "x.dcm", STORED, None, Modality="DX", ImagerPixelSpacing=[0.2, 0.2], PixelSpacing=patient)
    scan = open_scan(path)
    assert scan.grid.spacing == pytest.approx((0.1, 0.1) if patient else (0.2, 0.2))
    assert ("W-DICOM-DETECTOR" in {n.code for n in scan.notices}) == told


@pytest.mark.parametrize("degrees", [20, -20, 3])
def test_a_straightened_gantry_cuts_nothing_off(tmp_path: Path, degrees: float) -> None:
    stored = np.zeros((12, 10), np.int16)
    stored[1:11, 1:9] = 500
    turn = np.radians(degrees)
    for n in range(8):
        place = {
            "ImagePositionPatient": [0, 0, 5 * n],
            "ImageOrientationPatient": [1, 0, 0, 0, np.cos(turn), -np.sin(turn)],
        }
        dicom(tmp_path / f"{n}.dcm", stored, 0, Modality="CT", SliceThickness=5, **place)
    scan = open_scan(tmp_path, resample_irregular=True)
    voxels = scan.voxels()
    assert voxels.sum(axis=(0, 1)) == pytest.approx(np.full(8, stored.sum()), rel=1e-3)
    for n in (0, 7):  # the middle of what was drawn lies where the file says
        i, j = (float(c.mean()) for c in np.nonzero(voxels[:, :, n] > 250))
        middle = np.array([4.5, 5.5 * np.cos(turn), 5 * n - 5.5 * np.sin(turn)])
        across = scan.grid.to_world([i, j, n], "LPS") - middle
        assert abs(across @ [0, np.cos(turn), -np.sin(turn)]) < 0.51
