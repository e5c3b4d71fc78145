"""Which existing files this program wrote, and may therefore replace.

Every file it writes says so in a text near its start or its end (``MARK``, or the name of one of its own JSON formats);
the manifest beside an output holds the output's hash as well. A file that was edited since is somebody's work: other
programs drop the text when they save, and the hash differs.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from delineate.hashing import sha256_of

MARK = "delineate-output/1"
_MARKS = re.compile(rb"delineate-[a-z-]+/[0-9]|delineate_labels")
_LOOKED_AT = 1 << 16  # bytes at each end of a file
_GZIP = b"\x1f\x8b"


def png_mark() -> PngInfo:
    """The text that says so in a PNG."""
    info = PngInfo()
    info.add_text("Software", MARK)
    return info


def is_own(path: Path) -> bool:
    """Whether this program wrote a file, or every file of a folder, and nobody has changed it since.

    Links, devices and empty files are never its own.
    """
    recorded = _recorded_hash(path)
    if recorded is not None:
        return recorded == sha256_of(*_files(path))
    if path.is_dir() and not path.is_symlink():
        return all(_is_marked(one) for one in _files(path))
    return _is_marked(path)


def foreign_file(folder: Path) -> Path | None:
    """A file in a folder that this program did not write; None where there is none."""
    return next((one for one in _files(folder) if not _is_marked(one)), None)


def _files(path: Path) -> Iterator[Path]:
    """A file itself, or all that is in a folder but folders."""
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for one in sorted(path.rglob("*")):
        if one.is_symlink() or not one.is_dir():
            yield one


def _recorded_hash(path: Path) -> str | None:
    """The hash that a manifest beside a file or folder gives it; None without one."""
    from delineate.io.naming import beside

    manifest = beside(path, ".manifest.json")
    if manifest == path or not manifest.is_file():
        return None
    try:
        record = json.loads(manifest.read_bytes())
        if not str(record["format"]).startswith("delineate-manifest/"):
            return None
        return next((str(one["sha256"]) for one in record["outputs"] if one["name"] == path.name), None)
    except (ValueError, KeyError, TypeError, OSError):
        return None


def _is_marked(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            head = stream.read(_LOOKED_AT)
            stream.seek(max(len(head), path.stat().st_size - _LOOKED_AT))
            tail = stream.read()
        if head.startswith(_GZIP):
            with gzip.open(path, "rb") as unpacked:
                head = unpacked.read(_LOOKED_AT)
    except (OSError, EOFError, zlib.error):
        return False
    return _MARKS.search(head) is not None or _MARKS.search(tail) is not None
