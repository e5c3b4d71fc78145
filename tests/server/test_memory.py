"""What the server keeps in memory is bounded; what left it comes back."""

from __future__ import annotations

import gc
import weakref
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.session import Session
from serving import act, begin, client, picture, point, upload, voxels


def pictures(count: int) -> list[bytes]:
    found = []
    for number in range(count):
        pixels = np.full((64, 64), 30, np.uint8)
        pixels[16:40, 16 : 30 + number] = 180
        stream = BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        found.append(stream.getvalue())
    return found


def test_200_sessions_are_kept_and_few_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Session]] = []
    plain = Session.__init__

    def counted(self: Session, *given: object, **more: object) -> None:
        made.append(weakref.ref(self))
        plain(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "__init__", counted)
    with client(tmp_path / "state", max_sessions=8, feature_bytes=2**20) as http:
        scan = upload(http, picture())["id"]
        sessions = []
        for number in range(200):
            sessions.append(begin(http, scan)["id"])
            act(http, sessions[-1], point(16 + number % 32, 16 + number % 24))
        gc.collect()
        assert sum(ref() is not None for ref in made) <= 8
        assert http.get("/api/v1/info").json()["sessions"] <= 8
        for number, one in enumerate(sessions[::20]):
            back = http.get(f"/api/v1/sessions/{one}/masks").json()
            assert [mask["frame"] for mask in back["changed"]] == [0]
            prompts = [tuple(shown["prompt"]["at"]) for shown in back["prompts"]]
            assert prompts == [(16 + 20 * number % 32, 16 + 20 * number % 24)]


def test_scans_that_do_not_fit_leave_the_memory_and_come_back(tmp_path: Path) -> None:
    with client(tmp_path / "state", scan_bytes=3 * 64 * 64) as http:
        store = http.app.state.service.scans
        scans = [upload(http, content)["id"] for content in pictures(12)]
        sessions = [begin(http, scan)["id"] for scan in scans]
        for session in sessions:
            act(http, session, point(20, 20))
        assert store.trim(2**40, set()) <= 4 * 64 * 64  # three, and the one that was opened last
        for number, session in enumerate(sessions):
            (mask,) = http.get(f"/api/v1/sessions/{session}/masks").json()["changed"]
            assert sum(mask["counts"][1::2]) == 24 * (14 + number)
        assert store.trim(2**40, set()) <= 4 * 64 * 64


def test_a_volume_larger_than_all_is_worked_on(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(voxels(), np.eye(4)), tmp_path / "a.nii.gz")
    with client(tmp_path / "state", scan_bytes=100) as http:
        session = begin(http, upload(http, (tmp_path / "a.nii.gz").read_bytes(), "a.nii.gz")["id"])["id"]
        assert act(http, session, point(12, 10, 4))["changed"]
        other = begin(http, upload(http, picture())["id"])["id"]
        assert act(http, other, point(20, 20))["changed"]
        assert http.get(f"/api/v1/sessions/{session}/masks").json()["changed"]


def test_uploads_fill_no_more_of_the_disk_than_they_may(tmp_path: Path) -> None:
    first, second = pictures(2)
    with client(tmp_path / "state", max_uploads=len(first) + 10) as http:
        upload(http, first)
        answer = http.post("/api/v1/scans", content=second)
        assert (answer.status_code, answer.json()["code"]) == (413, "E-SERVE-QUOTA")
        assert len(list((tmp_path / "state" / "scans").iterdir())) == 1
