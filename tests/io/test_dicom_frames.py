"""DICOM files of many frames: one parse whatever their number, and the frames pydicom decodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array

from bad_inputs.dicom import COLUMNS, ROWS_OF_PIXELS, setting, slice_file
from delineate.io.opening import open_scan
from delineate.io.readers.dicom_pixels import PixelReader
from delineate.io.readers.dicom_tags import Tags


def sequence(**values: Any) -> Any:
    one = Dataset()
    for name, value in values.items():
        setattr(one, name, value)
    return [one]


def enhanced(folder: Path, frames: int) -> tuple[Path, np.ndarray]:
    """A volume of many frames, each with its place among the functional groups."""
    pixels = np.arange(frames * ROWS_OF_PIXELS * COLUMNS, dtype=np.uint16).reshape(frames, ROWS_OF_PIXELS, COLUMNS)
    shared = sequence(
        PlaneOrientationSequence=sequence(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=sequence(PixelSpacing=[1, 1], SliceThickness=1),
    )
    places = [sequence(PlanePositionSequence=sequence(ImagePositionPatient=[0, 0, n]))[0] for n in range(frames)]
    change = setting(
        NumberOfFrames=frames, SharedFunctionalGroupsSequence=shared, PerFrameFunctionalGroupsSequence=places,
        RescaleIntercept=0, PixelData=pixels.tobytes(),
    )  # fmt: skip
    return slice_file(folder, "enhanced.dcm", 0, change), pixels


def clip(folder: Path, frames: int) -> tuple[Path, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 9, (frames, ROWS_OF_PIXELS, COLUMNS)).astype(np.uint16)
    change = setting(NumberOfFrames=frames, FrameTime=40, RescaleIntercept=0, PixelData=pixels.tobytes())
    return slice_file(folder, "clip.dcm", 0, change), pixels


@pytest.mark.parametrize("make", [enhanced, clip])
def test_tags_are_read_as_often_for_many_frames_as_for_few(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    plain = pydicom.dcmread
    monkeypatch.setattr(pydicom, "dcmread", lambda *a, **k: (calls.append(1), plain(*a, **k))[1])
    counts = []
    for frames in (3, 30):
        path, pixels = make(tmp_path, frames)
        calls.clear()
        scan = open_scan(path)
        found = [scan.pixels(n) for n in (*range(frames), 0)]
        assert np.array_equal(found[:-1], pixels) and np.array_equal(found[-1], pixels[0])
        counts.append(len(calls))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    "name",
    ["MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "SC_rgb_jpeg.dcm", "image_dfl.dcm",
     "examples_palette.dcm", "rtdose_1frame.dcm", "SC_rgb_rle_2frame.dcm", "color3d_jpeg_baseline.dcm"],
)  # fmt: skip
def test_pixels_left_in_the_file_are_those_read_with_it(name: str) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not part of the installed pydicom")
    tags = pydicom.dcmread(path, force=True)
    reader = PixelReader(Path(path))
    for n in range(int(tags.get("NumberOfFrames", 1) or 1)):
        try:
            wanted = pixel_array(tags, index=n)
        except (NotImplementedError, RuntimeError):
            pytest.skip(f"{name} needs a decoder that is not here")
        if str(tags.PhotometricInterpretation) != "PALETTE COLOR":
            assert np.array_equal(reader.read(n, Tags(Dataset(), Path(path))).array, wanted)
        else:
            assert reader.read(n, Tags(Dataset(), Path(path))).array.shape == (*wanted.shape, 3)
