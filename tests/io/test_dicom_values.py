"""Pixel values of DICOM files as the standard means them: inversion, fractions, tables, padding, codecs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames

from delineate.core.errors import DelineateError, InputError, MissingExtraError
from delineate.io.opening import open_scan
from delineate.io.readers import dicom_jpeg
from delineate.io.readers.dicom_pixels import PixelReader
from small_dicom import dicom, enhanced, item, levels, with_raw

RAMP = np.linspace(1000, 3000, 64).astype(np.uint16).reshape(8, 8)
M1 = {"PhotometricInterpretation": "MONOCHROME1"}


@pytest.mark.parametrize(
    ("rescale", "pixels"),
    [
        ({}, RAMP),
        ({"RescaleSlope": 1, "RescaleIntercept": -1024}, RAMP),
        ({"RescaleSlope": "0.001", "RescaleIntercept": 0}, RAMP),
        ({"RescaleSlope": "0.5", "RescaleIntercept": "0.25"}, RAMP),
        ({"BitsStored": 12, "HighBit": 11}, RAMP),
        ({}, (RAMP.astype(np.int16) - 2000)),
        ({}, (RAMP // 16).astype(np.uint8)),
    ],
    ids=["plain", "whole", "fraction", "both", "12-bit", "signed", "8-bit"],
)
def test_monochrome1_keeps_order_reversed_and_every_value(tmp_path: Path, rescale: Any, pixels: np.ndarray) -> None:
    plain = open_scan(dicom(tmp_path / "2.dcm", pixels, **rescale)).pixels(0).astype(float)
    turned = open_scan(dicom(tmp_path / "1.dcm", pixels, **rescale, **M1)).pixels(0).astype(float)
    assert len(np.unique(turned)) == len(np.unique(plain))
    np.testing.assert_allclose(turned + plain, (turned + plain)[0, 0], rtol=1e-5)
    assert turned[0, 0] > turned[-1, -1]


@pytest.mark.parametrize("how", ["series", "clip", "enhanced"])
def test_monochrome1_means_one_gray_for_one_tissue(tmp_path: Path, how: str) -> None:
    stack = np.stack([np.clip(RAMP, 1000, 1500 + 500 * n) for n in range(4)])
    if how == "series":
        for n, one in enumerate(stack):
            dicom(tmp_path / f"{n}.dcm", one, z=2 * n, **M1)
    elif how == "clip":
        dicom(tmp_path / "a.dcm", stack, None, Modality="XA", FrameTime=40, **M1)
    else:
        enhanced(tmp_path / "a.dcm", stack, [(0, 0, n) for n in range(4)], **M1)
    scan = open_scan(tmp_path if how == "series" else tmp_path / "a.dcm")
    assert {int(scan.pixels(n)[0, 0]) for n in range(4)} == {65535 - 1000}
    assert [n.code for n in scan.notices].count("W-MONOCHROME1") == 1


def test_monochrome1_turns_the_window_with_the_values(tmp_path: Path) -> None:
    pixels = np.where(RAMP < 2500, 1200, 2900).astype(np.uint16)
    scan = open_scan(dicom(tmp_path / "a.dcm", pixels, WindowCenter=1200, WindowWidth=400, Modality="CR", **M1))
    assert scan.window is not None
    low, high = scan.window
    assert low < float(scan.pixels(0)[0, 0]) < high and float(scan.pixels(0)[-1, -1]) < low


def table(name: str, first: int, values: list[int], kind: str = "HU") -> Any:
    descriptor = [len(values), first, 16]
    entries = {"LUTDescriptor": descriptor, "LUTData": np.array(values, "<u2").tobytes()}
    return {name: item(**entries, **({"ModalityLUTType": kind} if name.startswith("Mod") else {}))}


def test_a_modality_table_is_looked_up(tmp_path: Path) -> None:
    pixels = np.array([[0, 1], [2, 3]], np.uint16)
    scan = open_scan(dicom(tmp_path / "a.dcm", pixels, **table("ModalityLUTSequence", 0, [10, 20, 400, 8000])))
    assert scan.pixels(0).tolist() == [[10, 20], [400, 8000]]
    assert "W-DICOM-LUT" in [n.code for n in scan.notices]


def test_a_display_table_gives_the_window(tmp_path: Path) -> None:
    scan = open_scan(dicom(tmp_path / "a.dcm", RAMP, **table("VOILUTSequence", 1500, list(range(101)))))
    assert scan.window == (1500, 1600)


@pytest.mark.parametrize(
    ("modality", "padding", "filled"),
    [("MR", -32768, True), ("CR", -2000, True), ("CT", -32768, True), ("CT", -2000, False)],
)
@pytest.mark.parametrize("how", ["image", "series", "clip"])
def test_padding_is_no_intensity(tmp_path: Path, modality: str, padding: int, filled: bool, how: str) -> None:
    inside = RAMP.astype(np.int16) - 1500
    padded = inside.copy()
    padded[0] = padding
    about = {"Modality": modality, "PixelPaddingValue": padding}
    if how == "series":
        for n in range(3):
            dicom(tmp_path / f"{n}.dcm", padded, z=2 * n, **about)
        scan = open_scan(tmp_path)
    elif how == "clip":
        scan = open_scan(dicom(tmp_path / "a.dcm", np.stack([padded] * 3), None, FrameTime=40, **about))
    else:
        scan = open_scan(dicom(tmp_path / "a.dcm", padded, **about))
    for n in range(len(scan)):
        np.testing.assert_array_equal(scan.pixels(n)[1:], inside[1:])
        assert int(scan.pixels(n)[0, 0]) == (int(inside[1:].min()) if filled else padding)
    assert ("W-DICOM-PADDING" in [n.code for n in scan.notices]) == filled


def test_a_range_of_padding_and_the_other_sign(tmp_path: Path) -> None:
    pixels = np.array([[-2000, -1999], [-1000, 500]], np.int16)
    about = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990}
    assert open_scan(dicom(tmp_path / "a.dcm", pixels, **about)).pixels(0).tolist() == [[-1000, -1000], [-1000, 500]]


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_gdcm.dcm", "JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_lossless_and_twelve_bit_jpeg_are_read(name: str) -> None:
    pytest.importorskip("imagecodecs")
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not part of the installed pydicom")
    assert open_scan(path).pixels(0).max() > 250


@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "SC_rgb_jpeg_gdcm.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm"]
)
@pytest.mark.parametrize("keep", [0.3, 0.02])
def test_a_cut_frame_is_damaged_not_unsupported(tmp_path: Path, name: str, keep: float) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not part of the installed pydicom")
    data = pydicom.dcmread(path)
    frame = next(generate_frames(data.PixelData, number_of_frames=1))
    data.PixelData = encapsulate([frame[: max(2, int(len(frame) * keep))]])
    data.save_as(tmp_path / "cut.dcm")
    try:
        open_scan(tmp_path / "cut.dcm")
    except MissingExtraError as error:
        pytest.skip(str(error))
    except InputError as error:
        assert error.code == "E-DICOM-PIXELS"


@pytest.mark.parametrize("frame", [0, 1])
def test_a_cut_frame_of_jpeg_ls_is_not_given_to_its_slow_decoder(
    tmp_path: Path, frame: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg_ls = pytest.importorskip("jpeg_ls")
    data = pydicom.dcmread(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False))
    whole = next(generate_frames(data.PixelData, number_of_frames=1))
    frames = [whole, whole]
    frames[frame] = whole[: len(whole) // 2]
    decoded, decode = list[int](), jpeg_ls.decode_pixel_data

    def watched(source: bytes, **options: Any) -> Any:
        decoded.append(len(source))
        return decode(source, **options)

    monkeypatch.setattr(jpeg_ls, "decode_pixel_data", watched)
    data.NumberOfFrames, data.PixelData = 2, encapsulate(frames)
    data.save_as(tmp_path / "cut.dcm")
    reader = PixelReader(tmp_path / "cut.dcm")
    with pytest.raises(InputError, match=f"frame {frame} is cut off"):
        reader.stored(frame)
    assert not decoded
    assert reader.stored(1 - frame).shape == (64, 64) and decoded


def test_what_is_missing_is_named_only_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders import JPEGLosslessSV1Decoder

    path = get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False)
    dicom_jpeg.register()
    monkeypatch.setattr(JPEGLosslessSV1Decoder, "_available", {})
    with pytest.raises(MissingExtraError, match="dicom"):
        open_scan(path)


def test_a_series_of_two_kinds_of_values_is_refused(tmp_path: Path) -> None:
    for n in range(4):
        dicom(tmp_path / f"{n}.dcm", levels(4)[n], z=2 * n, RescaleType="HU" if n else "US")
    with pytest.raises(InputError, match="RescaleType") as caught:
        open_scan(tmp_path)
    assert caught.value.code == "E-DICOM-MIXED" and "0.dcm" in str(caught.value)


@pytest.mark.parametrize("about", [{"RescaleSlope": 1, "RescaleIntercept": -1024}, {"RescaleSlope": 3}, M1], ids=str)
def test_frames_of_a_clip_have_one_number_type(tmp_path: Path, about: Any) -> None:
    stack = np.stack([RAMP, RAMP * 20, RAMP // 100])
    scan = open_scan(dicom(tmp_path / "a.dcm", stack, None, FrameTime=40, **about))
    frames = [scan.pixels(n) for n in range(3)]
    assert {frame.dtype for frame in frames} == {scan.dtype}
    if about is not M1:
        wanted = stack.astype(int) * about["RescaleSlope"] + about.get("RescaleIntercept", 0)
        np.testing.assert_array_equal(np.stack(frames), wanted)
    assert np.isfinite(scan.intensities.statistics.maximum)


@pytest.mark.parametrize("frames", [2_000_000_000, 10**30, 900_000, 5000])
def test_more_frames_than_the_file_can_hold_are_refused_at_once(frames: int, tmp_path: Path) -> None:
    path = with_raw(dicom(tmp_path / "a.dcm", levels(3), None), "NumberOfFrames", f"{frames} ".encode()[:40])
    began = time.process_time()
    with pytest.raises(DelineateError, match=r"a\.dcm") as caught:
        open_scan(path)
    assert caught.value.code in ("E-FRAMES-LARGE", "E-FILE-CUT") and time.process_time() - began < 2
