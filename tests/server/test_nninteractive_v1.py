"""The first nnInteractive protocol, by requests as the extension's code of that time sends them (with ``requests``)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from serving import TOKEN, client, voxels

WHOLE = (voxels() == 200).transpose(2, 1, 0)  # (k, j, i)
BASE = f"/key/{TOKEN}/nninteractive-v1"


def saved(array: np.ndarray) -> bytes:
    stream = BytesIO()
    np.save(stream, array)
    return stream.getvalue()


class OldClient:
    """What the extension sends: masks as gzip files under a header that says so of the whole body, which is none."""

    def __init__(self, http: TestClient) -> None:
        self.http = http
        image = saved(np.ascontiguousarray(voxels().transpose(2, 1, 0)))
        answer = http.post(f"{BASE}/upload_image", files={"file": ("volume.npy", image, "application/octet-stream")})
        assert answer.json() == {"status": "ok"}

    def asked(self, path: str, **body: Any) -> np.ndarray:
        return self.unpacked(self.http.post(f"{BASE}{path}", json=body))

    def send(self, path: str, mask: np.ndarray, **fields: str) -> Any:
        file = ("volume.npy.gz", gzip.compress(saved(mask.astype(np.uint8))), "application/octet-stream")
        headers = {"Content-Encoding": "gzip"}
        return self.http.post(f"{BASE}{path}", files={"file": file}, data=fields, headers=headers)

    def unpacked(self, answer: Any) -> np.ndarray:
        assert answer.headers["content-encoding"] == "gzip", answer.text
        bits = np.unpackbits(np.frombuffer(answer.content, np.uint8))
        return bits[: WHOLE.size].reshape(WHOLE.shape) > 0


@pytest.fixture
def old(tmp_path: Path) -> Iterator[OldClient]:
    with client(tmp_path / "state", nninteractive_v1=True) as http:
        http.headers.pop("authorization")  # it has no field for a key
        yield OldClient(http)


def test_points_boxes_and_what_is_drawn_outline_the_volume(old: OldClient) -> None:
    nothing = np.zeros(WHOLE.shape)
    assert np.array_equal(old.asked("/add_point_interaction", voxel_coord=[4, 10, 12], positive_click=True), WHOLE)
    assert old.send("/upload_segment", nothing).json() == {"status": "ok"}
    flat = {"outer_point_one": [4, 18, 8], "outer_point_two": [4, 6, 30], "positive_click": True}
    found = old.asked("/add_bbox_interaction", **flat)
    assert (found & WHOLE).sum() > 0.9 * found.sum() > 0
    drawn = nothing.copy()
    drawn[4, 10:13, 12:18] = 1
    for path in ("/add_scribble_interaction", "/add_lasso_interaction"):
        old.send("/upload_segment", nothing)
        assert np.array_equal(old.unpacked(old.send(path, drawn, positive_click="True")), WHOLE), path


def test_an_outline_that_is_there_is_gone_on_from_and_cut(old: OldClient) -> None:
    start = np.zeros(WHOLE.shape)
    start[3:8, 9:14, 11:18] = 1
    assert old.send("/upload_segment", start).json() == {"status": "ok"}
    found = old.asked("/add_point_interaction", voxel_coord=[4, 10, 12], positive_click=True)
    assert np.array_equal(found[4], WHOLE[4])
    beside = {"outer_point_one": [4, 9, 11], "outer_point_two": [5, 12, 14], "positive_click": False}
    assert old.asked("/add_bbox_interaction", **beside).shape == WHOLE.shape


def test_errors_are_sentences_and_the_server_lives(old: OldClient) -> None:
    outside = {"voxel_coord": [400, 10, 12], "positive_click": True}
    bomb = gzip.compress(bytes(10_000_000))
    pickled = BytesIO()
    np.save(pickled, np.array([{}], object), allow_pickle=True)
    empty = old.send("/add_scribble_interaction", np.zeros(WHOLE.shape), positive_click="true")
    wrong = [
        old.http.post(f"{BASE}/add_point_interaction", json=outside),
        old.http.post(f"{BASE}/upload_image", files={"file": ("a", b"no array")}),
        old.http.post(f"{BASE}/upload_image", files={"file": ("a", pickled.getvalue())}),
        old.http.post(f"{BASE}/upload_segment", files={"file": ("a", bomb)}),
        old.send("/add_lasso_interaction", np.ones((2, 3, 4)), positive_click="1"),
        empty,
    ]
    for answer in wrong:
        assert answer.status_code == 200 and answer.json()["status"] == "error" and answer.json()["message"], (
            answer.text
        )
    assert old.http.get(f"{BASE}/docs").status_code == 200
    assert old.asked("/add_point_interaction", voxel_coord=[4, 10, 12], positive_click=True).any()


def test_it_is_there_only_where_it_was_asked_for(tmp_path: Path) -> None:
    with client(tmp_path / "without") as http:
        assert http.get(f"{BASE}/docs").status_code == 404
    with client(tmp_path / "with", nninteractive_v1=True) as http:
        http.headers.pop("authorization")
        assert http.get("/nninteractive-v1/docs").status_code == 401
        answer = http.post(f"{BASE}/add_point_interaction", json={"voxel_coord": [0, 0, 0], "positive_click": True})
        assert "image" in json.dumps(answer.json())
