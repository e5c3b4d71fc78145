"""The commands ``serve`` and ``open``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from delineate.core.errors import InputError, OutputError
from delineate.verbs.serve import ServeRequest, serve
from serving import picture


def test_smoke_outlines_over_http(tmp_path: Path) -> None:
    done = serve(ServeRequest(state=tmp_path, smoke=True))
    assert done.outlined is not None and 2500 < done.outlined < 4000


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OutputError, match="cannot be listened on"):
            serve(ServeRequest(state=tmp_path, port=taken.getsockname()[1]))


def test_the_network_needs_a_token(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without a token"):
        serve(ServeRequest(state=tmp_path, host="0.0.0.0", token=""))


def test_a_session_survives_kill(tmp_path: Path) -> None:
    """What was answered is on the disk."""
    (tmp_path / "a.png").write_bytes(picture())
    words = [sys.executable, "-m", "delineate", "open", "a.png", "--no-browser", "--state", "state"]

    def start() -> tuple[subprocess.Popen[str], httpx.Client, str]:
        run = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        assert run.stderr is not None
        page = re.search(r"(http://\S+)/#token=([^&\s]+)&open=a.png", run.stderr.readline())
        assert page
        http = httpx.Client(base_url=page[1], headers={"Authorization": f"Bearer {page[2]}"}, timeout=60)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                http.get("/healthz")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        return run, http, page[1]

    run, http, _ = start()
    scan = http.post("/api/v1/scans/open", json={"path": "a.png"}).json()["id"]
    session = http.post("/api/v1/sessions", json={"scan": scan}).json()["id"]
    prompt = {"type": "box", "corners": [15, 15, 49, 41]}
    action = {"event": "prompt", "object": "bar", "prompt": prompt}
    before = http.post(f"/api/v1/sessions/{session}/events", json={"action": action}).json()
    run.kill()
    run.wait()
    run, http, _ = start()
    after = http.get(f"/api/v1/sessions/{session}/masks").json()
    assert after["changed"] == before["changed"] and after["changed"]
    run.send_signal(signal.SIGINT)
    assert run.wait(30) in (0, 130)
