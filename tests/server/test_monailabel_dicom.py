"""OHIF by DICOM UIDs: series below the root, indices and bytes as cornerstone orders a series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from monailabel_client import nrrd
from serving import FRAMES, client, voxels
from small_dicom import dicom

SERIES, OTHER = "1.2.840.99999.1", "1.2.840.99999.2"
TILTED = [0.8, 0.6, 0, 0, 0, -1]  # rows and columns of an oblique coronal series


def series(folder: Path, uid: str, orientation: list[float], **tags: Any) -> None:
    """The bar as a series: files in no order, with names that say nothing of it."""
    across = np.cross(orientation[:3], orientation[3:])
    for k in np.random.default_rng(0).permutation(FRAMES):
        place = [float(n) for n in np.array([10.0, -20, 30]) + across * 3.0 * k]
        pixels = voxels()[:, :, k].T.astype(np.uint16)
        more = {"ImagePositionPatient": place, "ImageOrientationPatient": orientation, "PixelSpacing": [1.5, 1.0]}
        dicom(folder / f"{uid[-1]}-{(k * 7) % 23:02}", pixels, SeriesInstanceUID=uid, SliceThickness=3, **more, **tags)


def as_cornerstone(folder: Path, uid: str) -> np.ndarray:
    """The volume (i, j, k) as cornerstone makes it: columns, rows, and slices by distance along the normal."""
    files = [pydicom.dcmread(path) for path in folder.iterdir()]
    files = [one for one in files if one.SeriesInstanceUID == uid]
    normal = np.cross(files[0].ImageOrientationPatient[:3], files[0].ImageOrientationPatient[3:])
    first = np.array(files[0].ImagePositionPatient, float)
    files.sort(key=lambda one: (first - np.array(one.ImagePositionPatient, float)) @ normal, reverse=True)
    return np.stack([one.pixel_array.T for one in files], axis=2)


@pytest.mark.parametrize("orientation", [[1, 0, 0, 0, 1, 0], TILTED], ids=["axial", "oblique coronal"])
def test_a_click_of_ohif_is_outlined_where_it_shows_it(tmp_path: Path, orientation: list[float]) -> None:
    root = tmp_path / "root" / "study"
    series(root, SERIES, orientation, PatientName="Doe^Jane", PatientID="4711")
    series(root, OTHER, [1, 0, 0, 0, 1, 0], Modality="CT")
    shown = as_cornerstone(root, SERIES)
    marker = [int(n) for n in np.argwhere(shown == 200)[37]]
    with client(tmp_path / "state", root=tmp_path / "root") as http:
        assert http.get("/info/").json()["datastore"]["total"] == 2
        assert set(http.get("/datastore/").json()["objects"]) == {SERIES, OTHER}
        params = {"foreground": [marker], "background": [], "result_compress": False, "restore_label_idx": False}
        where = {"image": SERIES, "output": "image"}
        answer = http.post("/infer/quill", params=where, files={"params": (None, json.dumps(params))})
        outline = nrrd(answer.content)[1]
        assert np.array_equal(outline > 0, shown == 200)
        raw = {"label": ("label.bin", (shown == 200).astype(np.uint8).tobytes(order="F"))}
        assert http.put("/datastore/label", params={"image": SERIES}, files=raw).json() == {
            "image": SERIES,
            "label": SERIES,
        }
        assert http.get("/info/").json()["datastore"]["completed"] == 1
        assert http.get("/datastore/image", params={"image": SERIES}).status_code == 200
        kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
        assert kept and not any(b"Doe" in path.read_bytes() or b"4711" in path.read_bytes() for path in kept)
