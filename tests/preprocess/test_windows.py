"""One intensity window a scan: the same tissue is the same gray on every slice, whatever else a slice shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bright_predictor import BrightPredictor
from delineate.core.errors import InputError
from delineate.core.frame import Frame, Modality, ModalityName
from delineate.core.frame_source import ArrayFrames
from delineate.core.intensities import Intensities, IntensityStatistics, IntensityWindow
from delineate.core.prompts import Box
from delineate.core.scan import Scan, ScanKind
from delineate.preprocess.intensity import WindowRule, eight_bit, named_window, scan_window
from delineate.preprocess.profiles import (
    LITE_MEDSAM,
    MEDSAM,
    SAM,
    SAM_MED2D,
    Profile,
    biosam2,
    medsam2_image,
    medsam2_video,
    sam2_image,
    sam2_video,
)
from delineate.quill.predictor import QuillPredictor
from delineate.session import Session

CT = Modality(ModalityName.CT, "made so")
PROFILES = [
    pytest.param(replace(SAM, side=128), id="SAM"),
    pytest.param(replace(MEDSAM, side=128), id="MedSAM"),
    pytest.param(LITE_MEDSAM, id="LiteMedSAM"),
    pytest.param(SAM_MED2D, id="SAM-Med2D"),
    pytest.param(sam2_image(128), id="SAM 2 image"),
    pytest.param(sam2_video(128), id="SAM 2 video, MedSAM2"),
    pytest.param(biosam2(128), id="BioSAM 2"),
]
SIZE = 64
TISSUE = (slice(20, 40), slice(20, 40))  # of every slice below


def ct_volume() -> NDArray[np.int16]:
    """Two slices (i, j, k) with liver at 60 HU, fat and bone; the first one with air too."""
    voxels = np.full((SIZE, SIZE, 2), -50, np.int16)
    voxels[TISSUE] = 60
    voxels[:4], voxels[-4:] = -200, 400
    voxels[:2, :, 0] = -1000
    return voxels


def mr_volume() -> NDArray[np.float32]:
    """Two slices with a tissue of 600 on black; the second one is bright around it, both have a few brighter voxels."""
    voxels = np.zeros((SIZE, SIZE, 2), np.float32)
    voxels[8:-8, 8:-8] = 300
    voxels[8:-8, 8:-8, 1] = 2500
    voxels[TISSUE] = 600
    voxels[50:54, 50:54] = 5000
    return voxels


def prepared(profile: Profile, scan: Scan, index: int, place: tuple[float, float] = (30, 30)) -> NDArray[np.float32]:
    """The network's input (3,) at a pixel (x, y) of a frame."""
    pixels, fitted = profile.prepare(scan.frame(index))
    (x, y) = fitted.points(np.array([place]) + 0.5)[0]
    return pixels[:, int(y), int(x)]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "scan",
    [
        pytest.param(Scan.from_volume(ct_volume(), modality=CT), id="CT, air on one slice only"),
        pytest.param(Scan.from_volume(mr_volume()), id="MR, one slice much brighter"),
    ],
)
def test_a_tissue_looks_alike_on_neighboring_slices(profile: Profile, scan: Scan) -> None:
    one_gray = 1.01 / 255 if profile.name == MEDSAM.name else 1e-5  # its splines ring, and fractions are cut off
    np.testing.assert_allclose(prepared(profile, scan, 0), prepared(profile, scan, 1), atol=one_gray)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "odd",
    [pytest.param(v, id=str(v)) for v in (-np.inf, np.inf, np.nan, -501.0, -1000.0, -32768.0)],
)
def test_one_odd_voxel_changes_nothing(profile: Profile, odd: float) -> None:
    voxels = mr_volume()
    voxels[0, 0, 0] = odd
    plain, spoilt = Scan.from_volume(mr_volume()), Scan.from_volume(voxels)
    np.testing.assert_allclose(prepared(profile, plain, 0), prepared(profile, spoilt, 0), atol=0.01)


@pytest.mark.parametrize("profile", PROFILES)
def test_nan_is_shown_as_the_low_end_and_infinities_as_the_ends(profile: Profile) -> None:
    voxels = ct_volume().astype(np.float32)
    voxels[40:60, 0:10], voxels[40:60, 10:20], voxels[40:60, 20:30] = np.nan, -np.inf, np.inf
    voxels[40:60, 30:40], voxels[40:60, 40:50] = -160, 240
    scan = Scan.from_volume(voxels, modality=CT)
    nan, minus, plus, low, high = (prepared(profile, scan, 0, (50, y)) for y in (5, 15, 25, 35, 45))
    for one, wanted in ((nan, low), (minus, low), (plus, high)):
        np.testing.assert_allclose(one, wanted, atol=0.06 if profile.name == MEDSAM.name else 1e-5)  # its splines ring


COUNTED = np.arange(1000, dtype=np.uint16)
HOUNSFIELD = np.linspace(-1000, 900, 4000).reshape(20, 20, 10)
WINDOWS = [
    pytest.param(Scan.from_volume(ct_volume(), modality=CT), (-160.0, 240.0), id="CT by its header"),
    pytest.param(Scan.from_volume(HOUNSFIELD), (-160.0, 240.0), id="CT by values"),
    pytest.param(Scan.from_volume(COUNTED.reshape(10, 10, 10)), (5.99, 994.01), id="percentiles"),
    pytest.param(Scan.from_image(COUNTED.reshape(20, 50)), (5.99, 994.01), id="one picture"),
    pytest.param(Scan.from_frames(COUNTED.reshape(5, 10, 20)), (5.99, 994.01), id="16-bit video"),
    pytest.param(Scan.from_image(np.array([[0, 4095]] * 9, np.uint16)), (0.0, 4095.0), id="two values"),
    pytest.param(Scan.from_image(np.array([[False, True]] * 9)), (0.0, 1.0), id="true and false"),
    pytest.param(Scan.from_image(np.full((8, 8), 7, np.int16)), (7.0, 14.0), id="one value"),
    pytest.param(Scan.from_image(np.full((8, 8), np.nan, np.float32)), (0.0, 1.0), id="no number"),
    pytest.param(Scan.from_image(np.full((8, 8), 7, np.uint8)), None, id="8 bit"),
    pytest.param(Scan.from_image(np.full((8, 8, 3), 7, np.uint8)), None, id="color"),
]


@pytest.mark.parametrize(("scan", "wanted"), WINDOWS)
def test_the_window_of_a_scan(scan: Scan, wanted: tuple[float, float] | None) -> None:
    window = scan_window(scan, WindowRule.MEDSAM)
    assert (None if window is None else (window.low, window.high)) == (wanted and pytest.approx(wanted))
    assert scan_window(scan, WindowRule.CROP) is None
    assert eight_bit(scan.frame(0)).shape == (scan.height, scan.width, 3)


def test_a_picture_of_two_values_is_black_and_white() -> None:
    mask = (np.arange(64).reshape(8, 8) > 20).astype(np.uint16) * 4095
    assert set(np.unique(eight_bit(Frame.of(mask)))) == {0, 255}


def test_tiny_numbers_keep_their_contrast() -> None:
    values = np.linspace(1e-9, 2e-9, 4096, dtype=np.float32).reshape(64, 64)
    assert len(np.unique(eight_bit(Frame.of(values)))) > 200


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("lung", (-1350, 150), id="lung"),
        pytest.param("brain", (0, 80), id="brain"),
        pytest.param("bone", (-500, 1300), id="bone"),
        pytest.param("soft", (-160, 240), id="soft"),
        pytest.param("abdomen", (-160, 240), id="abdomen"),
        pytest.param("mediastinum", (-125, 225), id="mediastinum"),
        pytest.param("-10,2.5", (-10, 2.5), id="numbers"),
    ],
)
def test_windows_have_names(text: str, wanted: tuple[float, float]) -> None:
    window = named_window(text)
    assert (window.low, window.high) == wanted


@pytest.mark.parametrize("text", ["liver", "", "1", "1,2,3", "5,5", "6,5", "nan,5", "0,inf", "a,b"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="intensity window"):
        named_window(text)


def test_colors_have_no_window() -> None:
    with pytest.raises(InputError, match="color"):
        Scan.from_image(np.zeros((8, 8, 3), np.uint8)).with_window(named_window("0,100"))


def test_a_chosen_window_goes_before_every_rule() -> None:
    scan = Scan.from_volume(ct_volume(), modality=CT).with_window(named_window("0,120"))
    assert (prepared(SAM_MED2D, scan, 0) == prepared(SAM_MED2D, scan, 1)).all()
    assert eight_bit(scan.frame(1))[30, 30].tolist() == [127] * 3
    gray = Scan.from_image(np.array([[0, 50, 100, 200]], np.uint8)).with_window(named_window("50,100"))
    assert eight_bit(gray.frame(0))[0, :, 0].tolist() == [0, 0, 255, 255]


def test_quill_sees_a_chosen_window_and_else_the_values() -> None:
    scan = Scan.from_volume(ct_volume(), modality=CT)
    seen = QuillPredictor().encode(scan.with_window(named_window("0,100")).frame(0)).frame
    assert seen.min() == 0 and seen.max() == 100 and seen[30, 30] == 60
    assert (QuillPredictor().encode(scan.frame(0)).frame == scan.pixels(0)).all()


def test_the_window_does_not_depend_on_the_axis_slices_are_taken_along() -> None:
    volume = np.random.default_rng(0).normal(600, 100, (20, 24, 28)).astype(np.float32)
    windows = {scan_window(Scan.from_volume(volume, slice_axis=axis), WindowRule.MEDSAM) for axis in range(3)}
    assert len(windows) == 1


class CountedFrames(ArrayFrames):
    reads = 0

    def read(self, index: int) -> Any:
        type(self).reads += 1
        return super().read(index)


def test_a_scan_is_read_through_once_and_not_at_all_where_nothing_asks() -> None:
    frames = CountedFrames(np.random.default_rng(0).integers(0, 4000, (100, 16, 16), dtype=np.uint16))
    scan = Scan.from_frames(frames)
    frame = scan.frame(3)
    assert CountedFrames.reads == 1
    for profile in (SAM_MED2D, sam2_image(64), LITE_MEDSAM):
        profile.prepare(frame)
    assert CountedFrames.reads == 1 + 32  # a video is sampled


def test_large_scans_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.random.default_rng(0).normal(600, 100, (20, 64, 64)).astype(np.float32)
    exact = IntensityStatistics.of(frames)
    monkeypatch.setattr("delineate.core.intensities.SAMPLED_VALUES", frames.size // 7)
    sampled = Intensities(ArrayFrames(frames)).statistics
    assert sampled != exact and sampled.positive == pytest.approx(exact.positive, abs=20)


def test_a_part_of_a_frame_is_windowed_as_the_whole_scan() -> None:
    frame = Scan.from_volume(mr_volume()).frame(0)
    part = frame.with_pixels(frame.pixels[16:48, 16:48])
    assert (eight_bit(part) == eight_bit(frame)[16:48, 16:48]).all()


def test_the_manifest_tells_the_window_and_a_scan_takes_it_back() -> None:
    class Published(BrightPredictor):
        window_rule = WindowRule.MEDSAM

    scan = Scan.from_volume(mr_volume())
    session = Session(scan, Published())
    session.prompt(Box(20, 20, 40, 40, frame=0))
    told = session.manifest().input.window
    assert told is not None and told.source.startswith("0.5th to 99.5th percentile")
    again = scan.with_window(IntensityWindow(**told.model_dump()))
    assert scan_window(again, WindowRule.MEDSAM) == scan_window(scan, WindowRule.MEDSAM)
    assert (eight_bit(again.frame(1)) == eight_bit(scan.frame(1))).all()
    assert Session(scan, BrightPredictor()).manifest().input.window is None
    assert scan.kind is ScanKind.VOLUME


# --- against the preprocessing of MedSAM and MedSAM2, written a second time ---


def medsam_8bit(volume: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[np.uint8]:
    """A whole volume as MedSAM's script prepares it: clipped, stretched to 0 and 255, cut to whole grays; zeros stay.

    limits  of CT; None: the 0.5th and 99.5th percentile of what is above zero
    """
    if limits is None:
        above = volume[volume > 0]
        low, high = np.percentile(above, 0.5), np.percentile(above, 99.5)
    else:
        low, high = limits
    clipped = np.clip(volume, low, high)
    stretched = (clipped - np.min(clipped)) / (np.max(clipped) - np.min(clipped)) * 255.0
    if limits is None:
        stretched[volume == 0] = 0
    return np.uint8(stretched)


RNG = np.random.default_rng(7)
SOFT = (-160.0, 240.0)
HU = RNG.normal(20, 300, (24, 20, 6))
VOLUMES: dict[str, tuple[NDArray[Any], ModalityName, tuple[float, float] | None]] = {
    "CT, whole range": (HU.astype(np.int16), ModalityName.CT, SOFT),
    "CT, without air": (np.clip(HU, -90, 900).astype(np.int16), ModalityName.CT, SOFT),
    "CT, without bone": (np.clip(HU, -900, 120).astype(np.int16), ModalityName.CT, SOFT),
    "CT, fractions": (HU.astype(np.float32), ModalityName.CT, SOFT),
    "CT, double precision": (np.clip(HU, -77.7, 101.3), ModalityName.CT, SOFT),
    "MR, whole numbers": (np.maximum(RNG.normal(300, 250, (24, 20, 6)), 0).astype(np.uint16), ModalityName.MR, None),
    "MR, signed, some below zero": (RNG.normal(90, 130, (24, 20, 6)).astype(np.int16), ModalityName.MR, None),
    "MR, fractions": (np.maximum(RNG.normal(3, 2.5, (24, 20, 6)), 0).astype(np.float32), ModalityName.MR, None),
    "MR, no zeros": (RNG.uniform(5, 900, (24, 20, 6)).astype(np.float32), ModalityName.MR, None),
}


@pytest.mark.parametrize("title", VOLUMES)
def test_grays_are_those_of_medsams_script_to_the_last_one(title: str) -> None:
    volume, modality, limits = VOLUMES[title]
    wanted = medsam_8bit(volume, limits)
    scan = Scan.from_volume(volume, modality=Modality(modality))
    for index in range(len(scan)):
        assert (eight_bit(scan.frame(index))[..., 0] == wanted[:, :, index].T).all()


OWN = (-50.0, 150.0)


@pytest.mark.parametrize(
    ("profile", "window", "limits"),
    [
        pytest.param(medsam2_video(64), OWN, OWN, id="MedSAM2, the window of the file"),
        pytest.param(medsam2_video(64), None, SOFT, id="MedSAM2, a file without"),
        pytest.param(medsam2_image(64), OWN, OWN, id="MedSAM2 on a picture"),
        pytest.param(sam2_video(64), OWN, SOFT, id="SAM 2 takes soft tissue"),
    ],
)
def test_medsam2_takes_the_window_a_ct_file_asks_for(
    profile: Profile, window: tuple[float, float] | None, limits: tuple[float, float]
) -> None:
    """Its script takes the window from DICOM, once for the volume."""
    volume = HU.astype(np.int16)
    scan = Scan.from_volume(volume, modality=CT, window=window)
    wanted = medsam_8bit(volume, limits)
    for index in range(len(scan)):
        assert (eight_bit(scan.frame(index), profile.window_rule)[..., 0] == wanted[:, :, index].T).all()
    recorded = scan_window(scan, profile.window_rule)
    assert recorded is not None and (recorded.low, recorded.high) == limits
    assert ("file" in recorded.source) == (limits == OWN)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int16])
def test_percentiles_of_whole_numbers_are_exact_however_large_the_scan(
    dtype: type[np.generic], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delineate.core.intensities.SAMPLED_VALUES", 10)
    volume = RNG.normal(20, 60, (30, 17, 5)).clip(-128 if dtype is not np.uint16 else 0, 127).astype(dtype)
    found = Scan.from_volume(volume).intensities.statistics
    assert found == IntensityStatistics.of(volume)
    assert (found.minimum, found.maximum) == (volume.min(), volume.max())


def test_the_extremes_of_a_sampled_scan_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delineate.core.intensities.SAMPLED_VALUES", 500)
    volume = RNG.normal(20, 60, (30, 17, 5)).astype(np.float32)
    volume[3, 4, 1], volume[5, 6, 2] = -4000, np.nan
    found = Scan.from_volume(volume).intensities
    assert found.extent == (-4000, np.nanmax(volume)) == (found.statistics.minimum, found.statistics.maximum)


@pytest.mark.parametrize("offset", [0, 1e6, 1e8])
def test_mean_and_deviation_are_exact_wherever_the_values_lie(offset: float) -> None:
    values = np.random.default_rng(0).normal(0, 1, (4, 16, 16)) + np.arange(4)[:, None, None] + offset
    values[1, 3, 4], values[2] = np.nan, np.inf
    finite = values[np.isfinite(values)]
    assert Intensities(ArrayFrames(values)).moments == pytest.approx((finite.mean(), finite.std()), rel=1e-7)
