"""Bad input over HTTP and WebSocket: a clear error, nothing lost, the server lives."""

from __future__ import annotations

import json
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from delineate.server.interop.packed_array import pack, unpack
from delineate.server.problems import RefusalError
from serving import TOKEN, act, begin, client, picture, point, served, upload

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
TEN_GB = 10 * 2**30


@pytest.fixture
def http(tmp_path: Path) -> Iterator[httpx.Client]:
    """A real server, over real sockets, with a session that must survive."""
    with served(tmp_path / "state") as address, httpx.Client(base_url=address, headers=HEADERS, timeout=30) as found:
        yield found


@pytest.fixture
def session(http: httpx.Client) -> Iterator[str]:
    """A session with an outline; it is as it was at the end."""
    scan = http.post("/api/v1/scans", params={"name": "a.png"}, content=picture()).json()["id"]
    id = http.post("/api/v1/sessions", json={"scan": scan}).json()["id"]
    http.post(f"/api/v1/sessions/{id}/events", json={"action": point(20, 20)})
    before = http.get(f"/api/v1/sessions/{id}/masks").json()
    yield id
    assert http.get(f"/api/v1/sessions/{id}/masks").json() == before and before["changed"]


def raw(address: httpx.URL, request: str, body: bytes = b"") -> bytes:
    """What a server says to bytes of one's own."""
    there = urlsplit(str(address))
    with socket.create_connection((there.hostname, there.port), timeout=20) as wire:
        wire.sendall(request.replace("\n", "\r\n").encode() + body)
        said = b""
        while piece := wire.recv(65536):
            said += piece
        return said


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["hint"] and answer.headers["content-type"] == "application/problem+json"


def test_an_upload_of_10_gb_is_refused_before_it_is_sent(http: httpx.Client, session: str, tmp_path: Path) -> None:
    where = f"Host: {urlsplit(str(http.base_url)).netloc}\nAuthorization: Bearer {TOKEN}\n"
    for path in ("/api/v1/scans?name=a.nii", "/set_image", "/session/", "/api/v1/examples", "/upload_raw/x"):
        method = "PUT" if path == "/session/" else "POST"
        said = raw(http.base_url, f"{method} {path} HTTP/1.1\n{where}Content-Length: {TEN_GB}\nConnection: close\n\n")
        assert said.startswith(b"HTTP/1.1 413") and b"E-SERVE-LARGE" in said and b"content-security" in said, said
    assert not list((tmp_path / "state" / "scans").glob("new-*"))


def test_a_header_that_declares_10_gb_of_voxels_is_no_memory(http: httpx.Client, session: str) -> None:
    head = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 2000 2000 1400\nencoding: raw\nendian: little\n\n"
    answer = http.post("/api/v1/scans", params={"name": "a.nrrd"}, content=head.encode() + bytes(100))
    assert answer.status_code in (413, 422) and answer.json()["code"].startswith("E-"), answer.text


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [
        ("a.nii.gz", "application/gzip", b"%PDF-1.7 no volume at all"),
        ("a.dcm", "application/dicom", b"\x00" * 200),
        ("a.png", "image/png", b"GIF89a" + bytes(50)),
        ("a.mp4", "video/mp4", b"MZ" + bytes(500)),
        ("", "text/html", b"<script>alert(1)</script>"),
        ("a.nii", "application/octet-stream", b""),
    ],
    ids=["pdf as NIfTI", "zeros as DICOM", "cut GIF as PNG", "program as video", "HTML", "nothing"],
)
def test_a_file_that_is_none_is_told(
    http: httpx.Client, session: str, tmp_path: Path, name: str, kind: str, content: bytes
) -> None:
    headers = {"Content-Type": kind}
    answer = http.post("/api/v1/scans", params={"name": name}, content=content, headers=headers)
    assert answer.status_code in (415, 422) and answer.json()["hint"], answer.text
    assert len(list((tmp_path / "state" / "scans").iterdir())) == 1  # the session's own


@pytest.mark.parametrize("kind", ["application/json", "text/html", "image/svg+xml", "video/mp4", "", "a/b; charset=zz"])
def test_a_lying_content_type_of_a_good_file_does_no_harm(http: httpx.Client, session: str, kind: str) -> None:
    answer = http.post("/api/v1/scans", params={"name": "b.nii"}, content=picture(150), headers={"Content-Type": kind})
    assert answer.status_code == 201 and answer.json()["kind"] == "image"
    shown = http.get(f"/api/v1/scans/{answer.json()['id']}/frames/0.png")
    assert shown.headers["content-type"] == "image/png" and shown.headers["x-content-type-options"] == "nosniff"


def test_a_multipart_header_over_something_else_is_told(http: httpx.Client, session: str) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 999):
        answer = http.post("/api/v1/scans", content=picture(), headers={"Content-Type": kind})
        assert 400 <= answer.status_code < 500 and answer.json()["code"].startswith("E-"), (kind, answer.text)
        answer = http.post("/api/v1/examples", content=picture(), headers={"Content-Type": kind})
        assert 400 <= answer.status_code < 500 and answer.json()["code"].startswith("E-"), (kind, answer.text)


def test_a_stale_revision_is_told_over_the_socket(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        live = begin(http, upload(http, picture())["id"])
        act(http, live["id"], point(20, 20))
        with http.websocket_connect(f"ws://127.0.0.1/api/v1/sessions/{live['id']}/live") as wire:
            wire.send_json({"do": "act", "seq": 5, "action": point(30, 30), "revision": live["revision"]})
            while (message := wire.receive_json()).get("seq") != 5:
                for _ in range(message["masks"]):
                    wire.receive_bytes()
            assert (message["kind"], message["status"], message["code"]) == ("error", 409, "E-SERVE-STALE")
        assert len(http.get(f"/api/v1/sessions/{live['id']}").json()["prompts"]) == 1


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer x"}, {"Cookie": "delineate_token=x"}])
def test_a_missing_token_is_told_and_nothing_is_done(http: httpx.Client, session: str, given: dict[str, str]) -> None:
    with httpx.Client(base_url=http.base_url, headers=given) as stranger:
        for method, path in (("DELETE", f"/api/v1/sessions/{session}"), ("POST", f"/api/v1/sessions/{session}/undo")):
            refused(stranger.request(method, path), 401, "E-SERVE-TOKEN")


def thousand(count: int = 1000) -> dict[str, Any]:
    prompts = [{"type": "point", "at": [16 + n % 32, 16 + n % 24], "positive": n % 7 != 3} for n in range(count)]
    return {"event": "prompts", "object": "many", "prompts": prompts}


def test_1000_points_in_one_message_are_answered(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        live = begin(http, upload(http, picture())["id"])
        answer = act(http, live["id"], thousand())
        assert answer["object"] == "many" and len(answer["prompts"]) == 1000
        with http.websocket_connect(f"ws://127.0.0.1/api/v1/sessions/{live['id']}/live") as wire:
            wire.send_text(json.dumps({"do": "act", "seq": 2, "action": thousand() | {"object": "again"}}))
            while (message := wire.receive_json()).get("seq") != 2:
                for _ in range(message["masks"]):
                    wire.receive_bytes()
            assert message["kind"] == "answer" and message["score"] > 0
        line = {"type": "scribble", "points": [[16 + n % 32, 20] for n in range(1000)]}
        assert act(http, live["id"], {"event": "prompt", "object": "line", "prompt": line})["score"] > 0


def test_16_mb_are_more_than_a_message_may_be(http: httpx.Client, session: str) -> None:
    body = json.dumps({"action": thousand(2)}).encode().replace(b'"many"', b'"' + b"m" * 2**24 + b'"')
    path, headers = f"/api/v1/sessions/{session}/events", {"Content-Type": "application/json"}
    refused(http.post(path, content=body, headers=headers), 413, "E-SERVE-LARGE")
    pieces = (body[at : at + 2**20] for at in range(0, len(body), 2**20))
    refused(http.post(path, content=pieces, headers=headers), 413, "E-SERVE-LARGE")


def test_a_packed_array_that_lies_takes_no_memory() -> None:
    import numpy as np

    whole = bytearray(pack(np.zeros((4, 5, 6), np.int16)))
    shape, plain, axes = bytearray(whole), bytearray(whole), bytearray(whole)
    shape[13:21] = (2**40).to_bytes(8, "little")
    plain[41:49] = (2**40).to_bytes(8, "little")
    axes[6] = 255  # and no more than 255 can be said
    for data in (shape, plain, axes):
        tracemalloc.start()
        with pytest.raises(RefusalError):
            unpack(bytes(data), 2**40)
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
        tracemalloc.stop()
