"""Looking for a word in every byte of files: as stored, and unpacked wherever something is packed."""

from __future__ import annotations

import base64
import binascii
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le")
GZIP, ZLIB, BASE64 = b"\x1f\x8b\x08", re.compile(b"x[\x01\x5e\x9c\xda]"), re.compile(rb"base64,([A-Za-z0-9+/=]+)")
DEEPEST = 4  # packed within packed


def found_in(folder: Path, word: str) -> list[str]:
    """The files and folders below ``folder`` that hold a word, or are called so; in whatever case."""
    found = [f"{path} is called so" for path in folder.rglob("*") if word.lower() in path.name.lower()]
    return found + [str(path) for path in folder.rglob("*") if path.is_file() and holds(path.read_bytes(), word)]


def holds(data: bytes, word: str) -> bool:
    """Whether bytes hold a word in some encoding, or what is packed in them does."""
    wanted = [word.lower().encode(encoding) for encoding in ENCODINGS]
    return any(one in part.lower() for part in unpacked(data) for one in wanted)


def unpacked(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """The bytes themselves, then everything packed in them."""
    yield data
    if depth == DEEPEST:
        return
    for part in (*_members(data), *_streams(data), *_texts(data)):
        yield from unpacked(part, depth + 1)


def _members(data: bytes) -> Iterator[bytes]:
    """Of zip and tar files: the names, and what lies under them."""
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                yield member.filename.encode() + member.comment + member.extra
                yield archive.read(member)
    if data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for header in tar:
                yield f"{header.name} {header.uname} {header.gname} {header.pax_headers}".encode()
                file = tar.extractfile(header)
                if file is not None:
                    yield file.read()


def _streams(data: bytes) -> Iterator[bytes]:
    """gzip wherever it begins, and the deflated chunks of a PNG."""
    at = data.find(GZIP)
    while at >= 0:
        yield _inflated(data[at:], 31)
        at = data.find(GZIP, at + 1)
    if data[:4] == b"\x89PNG":
        at = 8
        while at < len(data):
            size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            if kind in (b"zTXt", b"iTXt", b"iCCP"):
                chunk = data[at + 8 : at + 8 + size]
                yield from (_inflated(chunk[place.start() :], 15) for place in ZLIB.finditer(chunk))
            at += 12 + size


def _inflated(data: bytes, window: int) -> bytes:
    try:
        return zlib.decompressobj(wbits=window).decompress(data)
    except zlib.error:  # it only looked like one
        return b""


def _texts(data: bytes) -> Iterator[bytes]:
    """Pictures put into HTML."""
    for text in BASE64.finditer(data):
        try:
            yield base64.b64decode(text[1])
        except binascii.Error:
            continue
