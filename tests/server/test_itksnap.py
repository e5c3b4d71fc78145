"""ITK-SNAP's DLS protocol, by requests as its client sends them."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from delineate.core.errors import InputError
from serving import FRAMES, client, settings, voxels

BAR = voxels() == 200
ABOUT = {
    "dimensions": [40, 30, FRAMES],
    "spacing": [1.0, 1.5, 3.0],
    "origin": [5.0, 6.0, -7.0],
    "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    "components_per_pixel": 1,
    "component_type": "float",
}


@pytest.fixture
def snap(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path / "state", itksnap=True) as http:
        http.headers.pop("authorization")  # the client has no field for it
        yield http


def body(values: np.ndarray, **about: Any) -> dict[str, Any]:
    content = gzip.compress(values.astype("<f4").tobytes(order="F"))
    given = {"file": ("upload.nii.gz", content, "application/octet-stream")}
    return {"files": given, "data": {"metadata": json.dumps(ABOUT | about)}}


def begun(snap: TestClient) -> str:
    session = snap.get("/v2/start_session/quill").json()["session_id"]
    assert snap.post(f"/upload_raw/{session}?filename=upload.nii.gz", **body(voxels())).status_code == 200
    return session


def outline(answer: Any) -> np.ndarray:
    assert answer.status_code == 200 and answer.json()["status"] == "success", answer.text
    content = gzip.decompress(base64.b64decode(answer.json()["result"]))
    return np.frombuffer(content, np.int8).reshape(BAR.shape, order="F") > 0


def test_the_client_is_let_in_and_outlines_the_volume(snap: TestClient) -> None:
    status = snap.get("/status").json()
    assert status["status"] == "ok" and [int(part) for part in status["version"].split(".")] >= [0, 1, 2]
    (model,) = snap.get("/v2/models").json()["models"]
    assert (model["dimensions"], model["channels"]) == (3, [1])
    session = begun(snap)
    address = f"/v2/process_point_interaction/{session}"
    assert np.array_equal(outline(snap.get(f"{address}?point=12&point=10&point=4&foreground=true")), BAR)
    snap.get(f"/reset_interactions/{session}")
    assert not outline(snap.get(f"{address}?point=12&point=10&point=4&foreground=false")).any()
    assert np.array_equal(outline(snap.get(f"/process_point_interaction/{session}?x=12&y=10&z=4&foreground=true")), BAR)
    snap.get(f"/v2/end_session/{session}")
    assert snap.get(f"{address}?point=12&point=10&point=4").status_code == 404


def test_scribbles_and_lassos_are_masks(snap: TestClient) -> None:
    session = begun(snap)
    drawn = np.zeros(BAR.shape)
    drawn[12:16, 10:12, 4] = 1
    scribble = snap.post(f"/process_scribble_interaction/{session}?foreground=true", **body(drawn))
    assert np.array_equal(outline(scribble), BAR)
    snap.get(f"/reset_interactions/{session}")
    drawn[9:26, 7:17, 4] = 1
    assert np.array_equal(
        outline(snap.post(f"/process_lasso_interaction/{session}?foreground=true", **body(drawn))), BAR
    )


def test_it_is_there_only_where_it_was_asked_for(tmp_path: Path, snap: TestClient) -> None:
    with pytest.raises(InputError, match="this machine alone"):
        settings(tmp_path, host="0.0.0.0", itksnap=True)
    with client(tmp_path / "other") as http:
        assert http.get("/status").status_code == 404
    assert snap.get("/api/v1/info").status_code == 401
    assert snap.get("/v2/start_session/quill", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert snap.get("/status", headers={"Host": "evil.example"}).status_code == 400


def test_wrong_requests_are_refused_in_words(snap: TestClient) -> None:
    session = begun(snap)
    upload, point = f"/upload_raw/{session}", f"/v2/process_point_interaction/{session}"
    wrong = [
        snap.get("/v2/start_session/other"),
        snap.post("/upload_raw/none", **body(voxels())),
        snap.post(upload, **body(voxels()[1:])),
        snap.post(upload, **body(voxels(), dimensions=[99_999] * 3)),
        snap.post(upload, **body(voxels(), dimensions=[40, 30])),
        snap.post(upload, **body(voxels(), direction=[0] * 9)),
        snap.post(upload, **body(voxels(), components_per_pixel=3)),
        snap.post(upload, files={"file": ("a", b"no gzip")}, data={"metadata": json.dumps(ABOUT)}),
        snap.get(f"{point}?point=12"),
        snap.get(f"{point}?point=900&point=10&point=4"),
        snap.get(f"{point}?point=nan&point=10&point=4"),
        snap.post(f"/process_scribble_interaction/{session}", **body(np.zeros(BAR.shape))),
    ]
    assert [answer.status_code for answer in wrong] == [404, 404, 400, 413, 400, 422, 400, 400, 400, 400, 400, 400]
    assert all(answer.json()["code"].startswith("E-") for answer in wrong)
    assert outline(snap.get(f"{point}?point=12&point=10&point=4")).any()
