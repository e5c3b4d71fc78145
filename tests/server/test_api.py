"""Scans, sessions, events, undo, propagation and export over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from serving import (
    FRAMES,
    SlowPredictor,
    act,
    area,
    begin,
    client,
    followed,
    nifti,
    picture,
    point,
    upload,
    voxels,
)


def test_a_click_on_an_uploaded_picture_is_outlined(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        scan = upload(http, picture())
        assert (scan["kind"], scan["width"], scan["frames"]) == ("image", 64, 1)
        session = begin(http, scan["id"])
        answer = act(http, session["id"], point(20, 20))
        (mask,) = answer["changed"]
        assert (mask["object"], mask["frame"], area(mask)) == ("bar", 0, 24 * 32)
        assert answer["revision"] == session["revision"] + 1 and answer["can_undo"]
        (given,) = answer["prompts"]
        assert given["object"] == "bar" and given["prompt"]["at"] == [20.0, 20.0]
        assert http.post(f"/api/v1/sessions/{session['id']}/undo").json()["prompts"] == []


def test_the_same_content_is_the_same_scan_whatever_its_name(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        first = upload(http, picture(), "../../../etc/a name.PNG")
        assert upload(http, picture(), "b.png")["id"] == first["id"]
        kept = [path.name for path in (tmp_path / "state" / "scans").rglob("*") if path.is_file()]
        assert kept == ["upload.png"]


def test_a_structure_is_followed_corrected_and_undone(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        scan = upload(http, nifti(tmp_path), "scan.nii.gz")
        session = begin(http, scan["id"])["id"]
        act(http, session, point(12, 10, 4))
        before = http.get(f"/api/v1/sessions/{session}").json()
        job = followed(http, session)
        assert job["state"] == "done" and job["error"] is None
        masks = {one["frame"]: area(one) for one in http.get(f"/api/v1/sessions/{session}/masks").json()["changed"]}
        assert masks == {k: int((voxels()[..., k] == 200).sum()) for k in range(FRAMES)}
        news = http.get(f"/api/v1/sessions/{session}/masks", params={"since": before["revision"]}).json()["changed"]
        assert {one["frame"] for one in news} == set(range(FRAMES)) - {4}
        undone = http.post(f"/api/v1/sessions/{session}/undo").json()
        assert undone["moved"] and {one["frame"] for one in undone["changed"] if area(one) == 0} == set(
            range(FRAMES)
        ) - {4}
        redone = http.post(f"/api/v1/sessions/{session}/redo").json()
        assert len(redone["objects"][0]["scores"]) == FRAMES


@pytest.mark.parametrize("axes", ["LPS", "LAS", "RAI", "PSR"])
def test_outlines_lie_on_the_voxels_of_the_file(tmp_path: Path, axes: str) -> None:
    with client(tmp_path / "state") as http:
        scan = upload(http, nifti(tmp_path, axes), "scan.nii.gz")
        session = begin(http, scan["id"], slice_axis=2)["id"]
        act(http, session, point(12, 10, 4))
        followed(http, session)
        answer = http.get(f"/api/v1/sessions/{session}/export", params={"format": "nii.gz"})
        assert answer.headers["content-disposition"].startswith("attachment")
        (tmp_path / "out.nii.gz").write_bytes(answer.content)
        written, given = nib.load(tmp_path / "out.nii.gz"), nib.load(tmp_path / "bar.nii.gz")
        assert np.array_equal(np.asarray(written.dataobj) > 0, voxels() == 200)
        assert np.allclose(written.affine, given.affine)


def test_every_export_is_a_file_and_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "exports"))
    (tmp_path / "exports").mkdir()
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])["id"]
        act(http, session, point(20, 20))
        for kind in ("nii.gz", "seg.nrrd", "mha", "tif", "png", "npz", "json", "manifest", "log"):
            answer = http.get(f"/api/v1/sessions/{session}/export", params={"format": kind})
            if answer.status_code != 200:
                assert kind in ("npz", "seg.nrrd") and answer.json()["code"].startswith("E-"), (kind, answer.text)
            else:
                assert answer.content, kind
        assert not list((tmp_path / "exports").glob("delineate-*"))


def test_a_frame_is_shown_through_the_window_asked_for(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        scan = upload(http, nifti(tmp_path), "scan.nii.gz")["id"]
        answer = http.get(f"/api/v1/scans/{scan}/frames/3.png", params={"window": "10,200"})
        pixels = np.asarray(Image.open(BytesIO(answer.content)))
        assert pixels.shape == (30, 40, 3) and set(np.unique(pixels)) == {0, 255}
        again = http.get(
            f"/api/v1/scans/{scan}/frames/3.png",
            params={"window": "10,200"},
            headers={"If-None-Match": answer.headers["etag"]},
        )
        assert again.status_code == 304 and not again.content


def test_a_stale_revision_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])
        act(http, session["id"], point(20, 20), revision=session["revision"])
        body = {"action": point(5, 5), "revision": session["revision"]}
        answer = http.post(f"/api/v1/sessions/{session['id']}/events", json=body)
        assert answer.status_code == 409 and answer.json()["code"] == "E-SERVE-STALE"
        assert http.get(f"/api/v1/sessions/{session['id']}").json()["revision"] == session["revision"] + 1


def test_sessions_come_back_after_a_restart(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, nifti(tmp_path), "scan.nii.gz")["id"])["id"]
        act(http, session, point(12, 10, 4))
        followed(http, session)
        before = http.get(f"/api/v1/sessions/{session}/masks").json()
    with client(tmp_path / "state") as http:
        after = http.get(f"/api/v1/sessions/{session}/masks").json()
        assert by_frame(after) == by_frame(before) and after["revision"] > before["revision"]
        assert http.post(f"/api/v1/sessions/{session}/undo").json()["moved"]


def by_frame(answer: dict) -> dict[int, dict]:
    return {one["frame"]: one for one in answer["changed"]}


def test_more_sessions_than_fit_in_memory_are_all_there(tmp_path: Path) -> None:
    with client(tmp_path / "state", max_sessions=3) as http:
        scan = upload(http, picture())["id"]
        sessions = [begin(http, scan)["id"] for _ in range(8)]
        for number, session in enumerate(sessions):
            act(http, session, point(20, 20, object=f"bar {number}"))
        for number, session in enumerate(sessions):
            assert http.get(f"/api/v1/sessions/{session}").json()["objects"][0]["name"] == f"bar {number}"
        assert http.get("/api/v1/info").json()["sessions"] <= 3


def test_a_propagation_is_canceled_after_the_frame_at_work(tmp_path: Path) -> None:
    slow = SlowPredictor()
    with client(tmp_path / "state", slow) as http:
        session = begin(http, upload(http, nifti(tmp_path), "scan.nii.gz")["id"])["id"]
        act(http, session, point(12, 10, 0))
        slow.seconds = 0.2
        job = http.post(f"/api/v1/sessions/{session}/follow", json={}).json()["job"]
        http.delete(f"/api/v1/jobs/{job}")
        while (state := http.get(f"/api/v1/jobs/{job}").json())["state"] == "running":
            pass
        assert state["state"] == "stopped" and state["done"] < FRAMES - 1


def test_a_log_of_another_program_begins_a_session(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        scan = upload(http, picture())["id"]
        first = begin(http, scan)["id"]
        act(http, first, point(20, 20))
        log = http.get(f"/api/v1/sessions/{first}/export", params={"format": "log"}).json()
        second = begin(http, scan, log=log)
        assert [area(one) for one in second["changed"]] == [24 * 32]


WRONG = [
    ("post", "/api/v1/scans", {"content": b"no picture at all"}, 415, "E-FORMAT-UNKNOWN"),
    ("post", "/api/v1/scans", {"content": b""}, 415, "E-FILE-EMPTY"),
    ("post", "/api/v1/scans/open", {"json": {"path": "a.png"}}, 403, "E-SERVE-ROOT"),
    ("get", "/api/v1/scans/0123456789abcdef", {}, 404, "E-SERVE-MISSING"),
    ("get", "/api/v1/scans/..%2f..%2fetc", {}, 404, "E-SERVE-HTTP"),
    ("get", "/api/v1/sessions/0123", {}, 404, "E-SERVE-MISSING"),
    ("post", "/api/v1/sessions", {"json": {"scan": "nothing"}}, 404, "E-SERVE-MISSING"),
    ("post", "/api/v1/sessions", {"json": {"scan": 3}}, 422, "E-REQUEST"),
    ("post", "/api/v1/sessions", {"content": b"{", "headers": {"content-type": "application/json"}}, 422, "E-REQUEST"),
    ("get", "/api/v1/jobs/none", {}, 404, "E-SERVE-MISSING"),
    ("get", "/nowhere", {}, 404, "E-SERVE-HTTP"),
    ("put", "/api/v1/scans", {}, 405, "E-SERVE-HTTP"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), WRONG)
def test_wrong_requests_are_problems_with_a_code(
    tmp_path: Path, method: str, path: str, body: dict, status: int, code: str
) -> None:
    with client(tmp_path / "state") as http:
        answer = getattr(http, method)(path, **body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json" and answer.json()["hint"]
        assert http.get("/healthz").json() == {"ok": True}
        assert not list((tmp_path / "state" / "scans").glob("new-*"))


WRONG_EVENTS = [
    ({"event": "prompt", "object": "a", "prompt": {"type": "point", "at": [999, 5]}}, 400),
    ({"event": "prompt", "object": "a", "prompt": {"type": "point", "at": [5, 5], "positive": False}}, 400),
    ({"event": "prompt", "object": "a", "prompt": {"type": "point", "at": [5]}}, 400),
    ({"event": "prompt", "object": "a", "prompt": {"type": "box", "corners": [9, 9, 3, 3]}}, 400),
    ({"event": "prompt", "object": "a", "prompt": {"type": "text", "words": "liver"}}, 400),
    ({"event": "choose", "object": "a", "frame": 0, "candidate": 0}, 400),
    ({"event": "remove_object", "object": "none"}, 400),
    ({"event": "interpolate", "object": "none"}, 400),
    ({"event": "lock_object", "object": "none", "locked": True}, 400),
    ({"event": "predict"}, 400),
    ({"event": "dance"}, 422),
    ({"event": "prompt", "object": "a"}, 422),
]


@pytest.mark.parametrize(("action", "status"), WRONG_EVENTS)
def test_wrong_events_change_nothing(tmp_path: Path, action: dict, status: int) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])
        answer = http.post(f"/api/v1/sessions/{session['id']}/events", json={"action": action})
        assert answer.status_code == status and answer.json()["code"].startswith("E-"), answer.text
        now = http.get(f"/api/v1/sessions/{session['id']}").json()
        assert now["revision"] == session["revision"] and not now["objects"]


def test_a_locked_structure_is_not_removed(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])["id"]
        act(http, session, point(20, 20))
        act(http, session, {"event": "lock_object", "object": "bar", "locked": True})
        action = {"event": "remove_object", "object": "bar"}
        answer = http.post(f"/api/v1/sessions/{session}/events", json={"action": action})
        assert (answer.status_code, answer.json()["code"]) == (400, "E-OBJECT-LOCKED")
        assert [one["name"] for one in http.get(f"/api/v1/sessions/{session}").json()["objects"]] == ["bar"]


def test_files_of_a_folder_are_one_scan(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        files = [("files", (f"{n}.png", picture(180 + n), "image/png")) for n in range(3)]
        answer = http.post("/api/v1/scans", files=files)
        assert answer.status_code == 201 and answer.json()["frames"] == 3, answer.text


def test_scans_below_the_root_are_opened_and_no_others(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "secret.png"
    root.mkdir()
    (root / "a.png").write_bytes(picture())
    outside.write_bytes(picture(99))
    (root / "link.png").symlink_to(outside)
    with client(tmp_path / "state", root=root) as http:
        assert http.post("/api/v1/scans/open", json={"path": "a.png"}).status_code == 201
        for path in ("../secret.png", str(outside), "link.png", "a/../../secret.png"):
            answer = http.post("/api/v1/scans/open", json={"path": path})
            assert (answer.status_code, answer.json()["code"]) == (403, "E-SERVE-ROOT"), path
            assert str(tmp_path) not in answer.text


def test_the_log_on_disk_is_what_was_answered(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])["id"]
        act(http, session, point(20, 20))
        record = json.loads((tmp_path / "state" / "sessions" / f"{session}.json").read_text())
        assert [event["event"] for event in record["log"]["events"]] == ["prompt"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: b"", id="empty"),
        pytest.param(lambda text: text[:-40], id="cut"),
        pytest.param(lambda text: b"\xff\xfe\x00", id="no text"),
        pytest.param(lambda text: b"[]", id="a list"),
        pytest.param(lambda text: text.replace(b'"log"', b'"logs"'), id="a field renamed"),
        pytest.param(lambda text: text.replace(b"session/1", b"session/9"), id="a later format"),
        pytest.param(lambda text: text.replace(b'"events":[', b'"events":[7,'), id="a log that is none"),
    ],
)
def test_a_damaged_session_is_told(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])["id"]
        act(http, session, point(20, 20))
    kept = tmp_path / "state" / "sessions" / f"{session}.json"
    kept.write_bytes(damage(kept.read_bytes()))
    with client(tmp_path / "state") as http:
        answer = http.get(f"/api/v1/sessions/{session}")
        assert (answer.status_code, answer.json()["code"]) == (422, "E-SERVE-DAMAGED"), answer.text
        assert str(tmp_path) not in answer.text
        assert http.delete(f"/api/v1/sessions/{session}").status_code == 204


def test_a_session_is_forgotten(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])["id"]
        assert http.delete(f"/api/v1/sessions/{session}").status_code == 204
        assert http.get(f"/api/v1/sessions/{session}").status_code == 404
        assert not list((tmp_path / "state" / "sessions").iterdir())


def test_openapi_describes_every_address(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        paths: TestClient | dict = http.get("/api/v1/openapi.json").json()["paths"]
        assert {"/api/v1/scans", "/api/v1/sessions/{session}/events", "/claim"} <= set(paths)
