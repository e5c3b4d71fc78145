"""A store of its own for each test, and a server to fetch from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from weights_server import Server


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def address(models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Server.asked = []
    for name in ("breaks_at", "says_length", "ignores_ranges", "pause", "meanwhile"):
        monkeypatch.setattr(Server, name, getattr(Server, name))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/mobile_sam.pt"
    server.shutdown()
    server.server_close()
