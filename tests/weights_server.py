"""A server of weights that breaks off or sends something else, and what a store holds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from delineate.checkpoints import store
from delineate.checkpoints.download import Download

CONTENT = bytes(range(256)) * 8192
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    breaks_at = 0  # how many bytes the first answer holds; 0: all
    says_length = True
    ignores_ranges = False
    pause = 0.0  # seconds between two pieces of an answer
    meanwhile: Callable[[], object] | None = None  # after the first piece
    asked: list[str]

    def do_GET(self) -> None:
        wanted = "" if self.ignores_ranges else self.headers.get("Range") or ""
        start = int((wanted or "bytes=0-")[6:].split("-")[0])
        type(self).asked.append(self.headers.get("Range") or "")
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if self.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        stop, type(self).breaks_at = type(self).breaks_at or len(body), 0
        for place in range(0, stop, len(CONTENT) // 4):
            self.wfile.write(body[place : min(stop, place + len(CONTENT) // 4)])
            time.sleep(self.pause)
            if (then := type(self).meanwhile) is not None:
                type(self).meanwhile = None
                then()

    def log_message(self, *_: object) -> None:
        pass


def left(folder: Path) -> list[str]:
    """Everything in a store but locks and empty folders."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def partial(models: Path, url: str, sha256: str = SHA256) -> Path:
    """Where a download of mobile_sam lies until it is whole."""
    models.mkdir(parents=True, exist_ok=True)
    return store.partial_path(models, "mobile_sam", Download(url, sha256))


def kept_model(tmp_path: Path, content: bytes = CONTENT) -> Path:
    (tmp_path / "model.pth").write_bytes(content)
    return store.import_checkpoint("medsam", tmp_path / "model.pth")
