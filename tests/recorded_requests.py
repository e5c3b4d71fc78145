"""Requests as other programs' clients send them, kept as text in ``recorded`` and sent over a bare socket.

The first line of a file names the client and its version; line breaks are sent as CR LF; {host} and the like are filled
in, {length} is the body's, {file} stands for bytes.
"""

from __future__ import annotations

import socket
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

FOLDER = Path(__file__).parent / "server" / "recorded"


def recorded(name: str, file: bytes = b"", **known: str) -> bytes:
    """A request's bytes."""
    head, _, body = (FOLDER / f"{name}.http").read_text().split("\n", 1)[1].partition("\n\n")
    for key, value in known.items():
        head, body = head.replace(f"{{{key}}}", value), body.replace(f"{{{key}}}", value)
    content = body.replace("\n", "\r\n").encode().replace(b"{file}", file)
    head = head.rstrip("\n").replace("{length}", str(len(content)))
    return f"{head}\n\n".replace("\n", "\r\n").encode() + content


def sent(address: str, request: bytes, seconds: float = 20.0) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    there = urlsplit(address)
    with socket.create_connection((there.hostname, there.port), timeout=seconds) as wire:
        wire.sendall(request)
        answer = HTTPResponse(wire)
        answer.begin()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
