"""A server's own check: started, asked over HTTP as a client would, ended."""

from __future__ import annotations

import json
import socket
import threading
import time
from io import BytesIO
from typing import Any, Final
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image

from delineate.core.errors import ModelError
from delineate.server.settings import ServerSettings

SIDE: Final = 128  # px of the picture
SECONDS: Final = 60.0


def smoke(app: FastAPI, bound: socket.socket, settings: ServerSettings, address: str) -> int:
    """Start the server, send a picture of a noisy disc, click on it, and end. Returns the pixels that were outlined.

    Raises ModelError where nothing was outlined.
    """
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    opener = build_opener(ProxyHandler({}))  # this machine is asked, whatever proxy there is

    def ask(path: str, body: bytes, kind: str = "application/json") -> Any:
        headers = {"Authorization": f"Bearer {settings.token}", "Content-Type": kind}
        request = Request(address + path, body, headers, method="POST")
        with opener.open(request, timeout=SECONDS) as answer:
            return json.load(answer)

    try:
        until = time.monotonic() + SECONDS
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        scan = ask("/api/v1/scans?name=disc.png", _disc(), "image/png")
        session = ask("/api/v1/sessions", json.dumps({"scan": scan["id"]}).encode())
        prompt = {"type": "point", "at": [SIDE / 2, SIDE / 2]}
        action = {"event": "prompt", "object": "disc", "prompt": prompt}
        answer = ask(f"/api/v1/sessions/{session['id']}/events", json.dumps({"action": action}).encode())
        outlined = sum(sum(one["counts"][1::2]) for one in answer["changed"])
    finally:
        server.should_exit = True
        thread.join(SECONDS)
    if not outlined:
        raise ModelError("E-SERVE-SMOKE", "The server answered, and outlined nothing.", "See: delineate doctor")
    return outlined


def _disc() -> bytes:
    y, x = np.indices((SIDE, SIDE)) - SIDE / 2
    stream = BytesIO()
    disc = np.where(x**2 + y**2 < (SIDE / 4) ** 2, 190, 40) + np.random.default_rng(0).integers(-9, 10, (SIDE, SIDE))
    Image.fromarray(disc.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()
