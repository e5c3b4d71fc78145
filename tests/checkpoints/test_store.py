"""Fetching from a server that breaks off, sends the wrong file, or is not there; a real one, on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from delineate.checkpoints import store
from delineate.checkpoints.store import Download
from delineate.errors import ModelError

CONTENT = bytes(range(256)) * 8192
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    breaks_at = 0  # how many bytes the first answer holds; 0: all
    asked: list[str]

    def do_GET(self) -> None:
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        type(self).asked.append(self.headers.get("Range") or "")
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        stop, type(self).breaks_at = type(self).breaks_at or len(body), 0
        self.wfile.write(body[:stop])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "models"))
    Server.asked, Server.breaks_at = [], 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/mobile_sam.pt"
    server.shutdown()


def test_a_file_is_fetched_once_and_checked(address: str) -> None:
    path = store.pull("mobile_sam", Download(address, SHA256))
    assert path.read_bytes() == CONTENT and store.kept("mobile_sam") == path
    assert store.pull("mobile_sam", Download(address, SHA256)) == path and len(Server.asked) == 1
    assert list(store.verify()) == [("mobile_sam", path, True)]
    assert not list(path.parent.glob("*.part"))


def test_an_interrupted_fetch_goes_on_where_it_stopped(address: str) -> None:
    Server.breaks_at = 500_000
    with pytest.raises(ModelError) as caught:
        store.pull("mobile_sam", Download(address, SHA256))
    assert caught.value.code == "E-MODEL-PULL" and store.kept("mobile_sam") is None
    assert store.pull("mobile_sam", Download(address, SHA256)).read_bytes() == CONTENT
    assert Server.asked[1] == "bytes=500000-"


def test_another_file_than_the_published_one_is_not_kept(address: str) -> None:
    with pytest.raises(ModelError) as caught:
        store.pull("mobile_sam", Download(address, "0" * 64))
    assert caught.value.code == "E-MODEL-HASH" and not list(store.folder().iterdir())


def test_offline_nothing_is_asked(address: str) -> None:
    with pytest.raises(ModelError) as caught:
        store.pull("mobile_sam", Download(address), offline=True)
    assert caught.value.code == "E-MODEL-OFFLINE" and not Server.asked


def test_a_server_that_is_not_there(address: str) -> None:
    with pytest.raises(ModelError) as caught:
        store.pull("mobile_sam", Download("http://127.0.0.1:9/x.pt"))
    assert caught.value.code == "E-MODEL-PULL"


def test_a_file_changed_after_it_was_kept_is_found(address: str, tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    file.write_bytes(CONTENT)
    kept = store.keep("medsam", file)
    assert [intact for _, _, intact in store.verify()] == [True]
    kept.write_bytes(CONTENT[:-1])
    assert [intact for _, _, intact in store.verify()] == [False]
