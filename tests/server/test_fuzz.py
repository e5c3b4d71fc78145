"""Whatever is sent over HTTP or WebSocket, an answer comes that says what is wrong, and the server lives.

``DELINEATE_FUZZ=10000`` asks so often.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from starlette.websockets import WebSocketDisconnect

from delineate.server.live import WISH
from made_requests import Requests
from serving import act, begin, client, nifti, picture, point, upload

OPEN = {"itksnap": True, "nninteractive_v1": True}
COUNT = int(os.environ.get("DELINEATE_FUZZ", "150"))


def test_no_request_is_answered_as_a_fault_of_the_server(tmp_path: Path) -> None:
    nifti(tmp_path / "root")
    with client(tmp_path / "state", root=tmp_path / "root", max_body=2**20, **OPEN) as http:
        document = http.get("/api/v1/openapi.json").json()
        scan, image = upload(http, nifti(tmp_path / "a"), "a.nii.gz")["id"], upload(http, picture())["id"]
        sessions = [begin(http, one)["id"] for one in (scan, image)]
        act(http, sessions[0], point(12, 10, 4))
        known = {
            "scan": [scan, image], "session": sessions, "session_id": [scan], "model": ["quill"], "frame": [0, 3, 4],
            "object": ["bar"], "image": ["bar"], "label": ["bar"], "strategy": ["doubtful"], "path": ["bar.nii.gz"],
            "job": [http.post(f"/api/v1/sessions/{sessions[0]}/follow", json={}).json()["job"]],
            "X-Lease-Token": [http.post("/claim").json()["lease_token"]],
        }  # fmt: skip
        made = Requests(document, known, seed=COUNT)
        seen: dict[int, int] = {}
        for _ in range(COUNT):
            one = made.next()
            if one.method == "DELETE" and "/sessions/" in one.path:
                continue  # those that are known stay
            answer = http.request(one.method, one.path, content=one.content, headers=one.headers)
            seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
            assert answer.status_code < 500 or answer.status_code == 503, (one, answer.text)
            if answer.status_code >= 400 and one.method != "HEAD":
                assert answer.json()["code"].startswith("E-") and answer.json()["hint"], (one, answer.text)
        assert http.get("/healthz").json() == {"ok": True}
        assert seen.get(200, 0) > COUNT / 20 and sum(seen.values()) > COUNT / 2, seen


def test_no_message_ends_the_socket(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])["id"]
        made = Requests(WISH.json_schema(ref_template="#/$defs/{model}") | {"paths": {}}, {"object": ["bar"]}, seed=1)
        schema = WISH.json_schema()
        address = f"ws://127.0.0.1/api/v1/sessions/{session}/live"
        with http.websocket_connect(address) as socket:
            for _ in range(COUNT // 5):
                socket.send_text(json.dumps(made.value(schema)))
            socket.send_json({"do": "look", "seq": 10_001, "frame": 0})
            while True:
                message = socket.receive_json()
                for _ in range(message.get("masks", 0)):
                    socket.receive_bytes()
                assert message["kind"] != "error" or message["status"] != 500, message
                if message.get("seq") == 10_001 and message["kind"] == "answer":
                    break


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0" * 100], ids=["no text", "zeros"])
def test_bytes_where_text_is_meant_close_that_socket_alone(tmp_path: Path, content: bytes) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])["id"]
        address = f"ws://127.0.0.1/api/v1/sessions/{session}/live"
        with pytest.raises((WebSocketDisconnect, RuntimeError)), http.websocket_connect(address) as socket:
            socket.receive_json()
            socket.send_bytes(content)
            socket.receive_json()
        assert http.get(f"/api/v1/sessions/{session}").status_code == 200
