"""Which existing files this program wrote and nobody has changed since: those it may replace.

Every output carries a mark with the hash of the rest of the file; a folder has a file that lists its files with their
hashes. Whatever was edited, renamed or added since is somebody's work.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from delineate.core.hashing import sha256_of

LISTING: Final = ".delineate.json"  # of a folder
_WORDS: Final = "delineate-output/2 "
_DIGITS: Final = 64
MARK: Final = _WORDS + "0" * _DIGITS  # as writers write it, near a file's start or end; ``seal`` puts the hash in
_PATTERN = re.compile(re.escape(_WORDS.encode()) + rb"([0-9a-f]{64})")
_LOOKED_AT = 1 << 16  # bytes at each end of a file
_BLOCK = 1 << 20
_GZIP, _PNG = b"\x1f\x8b\x08", b"\x89PNG\r\n\x1a\n"
_GZIP_NAME, _GZIP_COMMENT = 0x08, 0x10  # flags of a gzip header
_PNG_WORD = b"tEXtSoftware\0"
_SCAN: Final = ("Title", "scan")


def png_mark(scan: bool = False, text: Mapping[str, str] | None = None) -> PngInfo:
    """The mark of a PNG, and further text.

    scan  its pixels are those of a scan, and it is no picture of one with outlines
    """
    info = PngInfo()
    info.add_text("Software", MARK)
    for key, value in (text or {}).items():
        info.add_text(key, value)
    if scan:
        info.add_text(*_SCAN)
    return info


def is_marked_scan(path: Path) -> bool:
    """Whether a PNG says that it is a scan (``png_mark``)."""
    with Image.open(path) as picture:
        return picture.info.get(_SCAN[0]) == _SCAN[1]


def seal(path: Path) -> None:
    """Put the hash into a file's mark; a gzip file gets the mark in its header, a folder its listing.

    Nothing is done to what is sealed already, or has no mark.
    """
    if path.is_dir():
        files = {str(one.relative_to(path).as_posix()): sha256_of(one) for one in _files(path) if one.name != LISTING}
        (path / LISTING).write_text(json.dumps({"mark": MARK, "files": files}, indent=1) + "\n")
        path = path / LISTING
    with path.open("rb") as stream:
        head = stream.read(_LOOKED_AT)
    if head.startswith(_GZIP) and not head[3] & ~_GZIP_NAME:
        _comment_gzip(path)
    place = _place(path)
    if place is None or place.digest != "0" * _DIGITS:
        return
    digest = _hash(path, place)
    with path.open("r+b") as stream:
        stream.seek(place.start)
        stream.write(digest.encode())
        if place.checksum:
            stream.write(zlib.crc32(_PNG_WORD + _WORDS.encode() + digest.encode()).to_bytes(4, "big"))


def is_own(path: Path) -> bool:
    """Whether this program wrote a file or folder as it is now. Links and devices are never its own."""
    if path.is_symlink():
        return False
    if path.is_dir():
        return _is_sealed(path / LISTING) and foreign_file(path) is None
    return _is_sealed(path)


def foreign_file(folder: Path) -> Path | None:
    """Something in a folder that this program did not put there as it is, or that is missing; None for none."""
    try:
        listed = json.loads((folder / LISTING).read_bytes())["files"] if _is_sealed(folder / LISTING) else {}
    except (OSError, ValueError, KeyError, TypeError):
        listed = {}
    there = {one.relative_to(folder).as_posix(): one for one in _files(folder)}
    for name, one in there.items():
        if name != LISTING and (one.is_symlink() or not one.is_file() or listed.get(name) != sha256_of(one)):
            return one
    for one in sorted(folder.rglob("*")):
        if one.is_dir() and not any(name.startswith(f"{one.relative_to(folder).as_posix()}/") for name in listed):
            return one
    return next((folder / name for name in listed if name not in there), None)


@dataclass(frozen=True)
class _Place:
    """Where the digits of a mark are; ``checksum``: a PNG's checksum follows them."""

    start: int
    digest: str
    checksum: bool


def _files(folder: Path) -> Iterator[Path]:
    """All that is in a folder but folders."""
    return (one for one in sorted(folder.rglob("*")) if one.is_symlink() or not one.is_dir())


def _is_sealed(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    try:
        place = _place(path)
        return place is not None and place.digest == _hash(path, place)
    except OSError:
        return False


def _place(path: Path) -> _Place | None:
    with path.open("rb") as stream:
        head = stream.read(_LOOKED_AT)
        found, before = _PATTERN.search(head), 0
        if found is None:
            before = max(len(head), path.stat().st_size - _LOOKED_AT)
            stream.seek(before)
            found = _PATTERN.search(stream.read())
    return None if found is None else _Place(before + found.start(1), found[1].decode(), head.startswith(_PNG))


def _hash(path: Path, place: _Place) -> str:
    """Of a whole file with the digits of its mark, and a checksum behind them, set to zero."""
    blank = _DIGITS + (4 if place.checksum else 0)
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        _feed(digest, stream, place.start)
        stream.seek(place.start + blank)
        digest.update(bytes(blank))
        _feed(digest, stream, None)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, stream: BinaryIO, count: int | None) -> None:
    """``count`` bytes of a stream, or all that is left."""
    left = count
    while block := stream.read(_BLOCK if left is None else min(left, _BLOCK)):
        digest.update(block)
        left = None if left is None else left - len(block)


def _comment_gzip(path: Path) -> None:
    """Put the mark into a gzip file's header, as its comment (RFC 1952); what it holds stays as it is."""
    marked = path.with_name(f"{path.name}.marked")
    with path.open("rb") as source, marked.open("wb") as target:
        header = bytearray(source.read(10))
        name = b""
        while header[3] & _GZIP_NAME and not name.endswith(b"\0"):
            name += source.read(1) or b"\0"
        header[3] |= _GZIP_COMMENT
        target.write(bytes(header) + name + MARK.encode() + b"\0")
        while block := source.read(_BLOCK):
            target.write(block)
    marked.replace(path)
