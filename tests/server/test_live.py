"""Clicks, previews and progress over the WebSocket; fairness between people."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from delineate.core.rle import Rle
from delineate.server.messages import varints
from serving import FRAMES, SlowPredictor, begin, client, nifti, picture, point, upload


def outline(data: bytes) -> tuple[int, int, Rle]:
    """Structure's number, frame and outline of a binary message, read as a client would."""
    numbers, number, shift = [], 0, 0
    for byte in data[1:]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    which, frame, height, width, *counts = numbers
    return which, frame, Rle(height, width, np.array(counts))


def received(socket: Any, kind: str, seq: int | None = None) -> tuple[dict[str, Any], list[tuple[int, int, Rle]]]:
    """The next message of a kind, and its outlines."""
    while True:
        message = socket.receive_json()
        masks = [outline(socket.receive_bytes()) for _ in range(message["masks"])]
        if message["kind"] == kind and (seq is None or message.get("seq") == seq):
            return message, masks


def test_a_click_is_answered_and_told_to_all_who_look(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])["id"]
        address = f"ws://127.0.0.1/api/v1/sessions/{session}/live"
        with http.websocket_connect(address, ["delineate.v1"]) as one, http.websocket_connect(address) as other:
            assert one.accepted_subprotocol == "delineate.v1"
            one.send_json({"do": "act", "seq": 7, "action": point(20, 20)})
            for socket in (one, other):
                changed, ((which, frame, mask),) = received(socket, "changed")
                assert changed["names"][which] == "bar" and (frame, mask.area) == (0, 24 * 32)
            answer, _ = received(one, "answer", 7)
            assert answer["score"] > 0 and answer["ms"] >= 0 and answer["revision"] == changed["revision"]


def test_a_preview_changes_nothing(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])
        with http.websocket_connect(f"ws://127.0.0.1/api/v1/sessions/{session['id']}/live") as socket:
            socket.send_json({"do": "preview", "seq": 1, "action": point(20, 20)})
            answer, ((_, _, mask),) = received(socket, "answer", 1)
            assert answer["preview"] and mask.area == 24 * 32
        assert http.get(f"/api/v1/sessions/{session['id']}").json()["revision"] == session["revision"]


def test_the_newest_preview_alone_is_answered(tmp_path: Path) -> None:
    slow = SlowPredictor()
    slow.seconds = 0.2
    with client(tmp_path / "state", slow) as http:
        session = begin(http, upload(http, picture())["id"])["id"]
        with http.websocket_connect(f"ws://127.0.0.1/api/v1/sessions/{session}/live") as socket:
            for seq in range(1, 9):
                socket.send_json({"do": "preview", "seq": seq, "action": point(20, 20)})
            answered = []
            while 8 not in answered:
                answered.append(received(socket, "answer")[0]["seq"])
            assert len(answered) <= 3


def test_following_tells_progress_and_outlines(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, nifti(tmp_path), "a.nii.gz")["id"])["id"]
        with http.websocket_connect(f"ws://127.0.0.1/api/v1/sessions/{session}/live") as socket:
            socket.send_json({"do": "act", "seq": 1, "action": point(12, 10, 4)})
            received(socket, "answer", 1)
            socket.send_json({"do": "follow", "seq": 2})
            frames: set[int] = set()
            while True:
                message = socket.receive_json()
                frames |= {outline(socket.receive_bytes())[1] for _ in range(message["masks"])}
                if message["kind"] == "progress" and message["state"] != "running":
                    break
            assert message["state"] == "done" and frames == set(range(FRAMES)) - {4}


def test_wrong_messages_are_answered_and_the_socket_lives(tmp_path: Path) -> None:
    with client(tmp_path / "state") as http:
        session = begin(http, upload(http, picture())["id"])["id"]
        with http.websocket_connect(f"ws://127.0.0.1/api/v1/sessions/{session}/live") as socket:
            for text in (
                "",
                "{",
                "[]",
                '{"do": "dance"}',
                '{"do": "look", "frame": 99}',
                '{"do": "cancel", "job": "x"}',
            ):
                socket.send_text(text)
                message, _ = received(socket, "error")
                assert message["code"].startswith("E-") and message["hint"], text
            socket.send_json({"do": "act", "seq": 3, "action": point(20, 20)})
            assert received(socket, "answer", 3)[0]["score"] > 0


def test_another_persons_click_waits_for_one_frame(tmp_path: Path) -> None:
    slow = SlowPredictor()
    with client(tmp_path / "state", slow) as http:
        volume, image = upload(http, nifti(tmp_path), "a.nii.gz")["id"], upload(http, picture())["id"]
        following, clicking = begin(http, volume)["id"], begin(http, image)["id"]
        http.post(f"/api/v1/sessions/{following}/events", json={"action": point(12, 10, 4)})
        slow.seconds = 0.3
        job = http.post(f"/api/v1/sessions/{following}/follow", json={}).json()["job"]
        waits = []
        for _ in range(3):
            began = time.perf_counter()
            http.post(f"/api/v1/sessions/{clicking}/events", json={"action": point(20, 20)})
            waits.append(time.perf_counter() - began)
        assert http.get(f"/api/v1/jobs/{job}").json()["state"] == "running"
        assert max(waits) < 4 * slow.seconds  # its own answer and one frame, of twelve that take 3.6 s
        http.delete(f"/api/v1/jobs/{job}")


def test_numbers_are_packed_in_groups_of_seven_bits() -> None:
    assert varints([0, 1, 127, 128, 300, 2**28]) == bytes([0, 1, 127, 128, 1, 172, 2, 128, 128, 128, 128, 1])
