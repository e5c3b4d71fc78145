"""The command that ``inspect`` ends with: it reads the scan as it was looked at."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless

from delineate.cli import app, guard
from delineate.core.manifest import Manifest
from delineate.io.options import Pages, ReadOptions
from delineate.verbs.inspect import InspectRequest, inspect
from small_dicom import dicom


def _video(path: Path, codec: str, pixels: str) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for n in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * n, np.uint8), "rgb24")))
        out.mux(stream.encode())
    return path


def _dicom(path: Path, syntax: UID) -> Path:
    pixels = np.random.default_rng(0).integers(0, 999, (16, 20)).astype(np.uint16)
    dicom(path, pixels)
    if syntax == RLELossless:
        data = pydicom.dcmread(path)
        data.compress(syntax)
        data.save_as(path)
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: _video(folder / "a.mp4", "libx264", "yuv420p"), "h264, yuv420p"),
        (lambda folder: _video(folder / "a.avi", "mjpeg", "yuvj420p"), "mjpeg, yuvj420p"),
        (lambda folder: _dicom(folder / "a.dcm", RLELossless), "RLE Lossless"),
        (lambda folder: _dicom(folder / "ct" / "a.dcm", RLELossless).parent, "RLE Lossless"),
        (lambda folder: _dicom(folder / "a.dcm", ExplicitVRLittleEndian), ""),
    ],
    ids=["mp4", "avi", "packed-dicom", "packed-series", "plain-dicom"],
)
def test_it_is_said_how_pixels_are_packed(make: Callable[[Path], Path], said: str, tmp_path: Path) -> None:
    assert inspect(InspectRequest(input=make(tmp_path))).compression == said


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ({}, {}),
        ({"slice_axis": "i"}, {"slice_axis": "i"}),
        ({"index": 1}, {"index": 1}),
        ({"index": 1, "window": "-20,90"}, {"index": 1, "window": "-20,90"}),
        ({"pages": Pages.VIDEO}, {"pages": "video"}),
        ({"stored_orientation": True, "max_files": 9}, {"stored_orientation": True, "max_files": 9}),
    ],
    ids=["as usual", "axis", "one of several", "window", "video", "a flag and a limit"],
)
def test_the_command_to_start_with_reads_the_scan_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: dict[str, Any], expected: dict[str, Any]
) -> None:
    monkeypatch.setattr(guard, "open_streams", lambda: None)
    voxels = np.random.default_rng(0).integers(0, 60, (36, 40, 8, 3)).astype(np.int16)
    voxels[12:24, 13:27] += 150
    kept = voxels if "index" in reading else voxels[:, :, :1] if "pages" in reading else voxels[..., 0]
    nib.save(nib.Nifti1Image(kept, np.eye(4)), tmp_path / "a scan.nii")
    monkeypatch.chdir(tmp_path)
    request = InspectRequest(input=Path("a scan.nii"), reading=ReadOptions(**reading))
    words = shlex.split(inspect(request).command)
    assert guard.run(app, [*words[1:], "--frame-only", "-q", "-o", "o.json"]) in (0, 3)
    manifest = Manifest.read(tmp_path / "o.manifest.json")
    assert manifest is not None and manifest.run is not None and manifest.run.reading == expected
