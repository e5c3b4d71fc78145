"""Model files kept on this machine: pulled from where their authors publish them, or imported from a file."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from delineate.errors import ModelError

CHUNK = 1 << 20
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Download:
    """Where authors publish a file.

    sha256  of the published file ("" where none is known: it is then recorded when the file is first pulled, and
            checked from then on)
    """

    url: str
    sha256: str = ""

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1].split("?")[0]


def folder() -> Path:
    """Where model files are kept: ``$DELINEATE_MODELS``, else a folder in the user's cache."""
    if chosen := os.environ.get("DELINEATE_MODELS"):
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "delineate" / "models"


def kept(system: str) -> Path | None:
    """The file kept for a system, or None."""
    record = folder() / f"{system}.json"
    if not record.is_file():
        return None
    path = folder() / json.loads(record.read_text())["file"]
    return path if path.is_file() else None


def keep(system: str, file: Path) -> Path:
    """Keep a copy of a checkpoint for a system; returns the copy."""
    target = folder() / f"{system}{file.suffix}"
    folder().mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with file.open("rb") as source, part.open("wb") as copy:
        while block := source.read(CHUNK):
            copy.write(block)
    part.replace(target)
    _record(system, target, str(file.name))
    return target


def pull(system: str, download: Download, progress: Progress | None = None, offline: bool = False) -> Path:
    """Fetch a published file, going on where an earlier try stopped; returns where it is kept.

    Raises ModelError if offline, if the address does not answer, or if the file is not the published one.
    """
    if (there := kept(system)) is not None:
        return there
    if offline:
        raise ModelError(
            "E-MODEL-OFFLINE",
            f"{system} is not on this machine, and nothing is fetched offline.",
            f"Fetch {download.url} elsewhere, then: delineate models import {download.name} --system {system}",
        )
    folder().mkdir(parents=True, exist_ok=True)
    target = folder() / f"{system}{Path(download.name).suffix}"
    part = target.with_name(target.name + ".part")
    _fetch(download, part, progress)
    found = _sha256(part)
    if download.sha256 and found != download.sha256:
        part.unlink()
        raise ModelError(
            "E-MODEL-HASH",
            f"What {download.url} sent is not the published file (sha256 {found[:12]}..., wanted "
            f"{download.sha256[:12]}...).",
            "Try again; if it stays so, the authors may have changed the file.",
        )
    part.replace(target)
    _record(system, target, download.url)
    return target


def verify() -> Iterator[tuple[str, Path, bool]]:
    """Each kept system with its file, and whether the file is still what was kept."""
    for record in sorted(folder().glob("*.json")):
        entry = json.loads(record.read_text())
        path = folder() / entry["file"]
        yield record.stem, path, path.is_file() and _sha256(path) == entry["sha256"]


def _fetch(download: Download, part: Path, progress: Progress | None) -> None:
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(download.url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            if done and answer.status != 206:  # the server starts over
                done = 0
            total = done + int(answer.headers.get("Content-Length") or 0)
            with part.open("ab" if done else "wb") as stream:
                while block := answer.read(CHUNK):
                    stream.write(block)
                    done += len(block)
                    if progress is not None:
                        progress(done, total)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # all of it is there already
            return
        raise _unreachable(download, error) from None
    except OSError as error:
        raise _unreachable(download, error) from None
    if total and done < total:
        raise _unreachable(download, OSError("the connection ended early"))


def _unreachable(download: Download, error: Exception) -> ModelError:
    return ModelError(
        "E-MODEL-PULL", f"{download.url} could not be fetched: {error}", "Run the command again to go on with it."
    )


def _record(system: str, target: Path, source: str) -> None:
    entry = {"file": target.name, "sha256": _sha256(target), "source": source}
    record = folder() / f"{system}.json"
    part = record.with_name(record.name + ".part")
    part.write_text(json.dumps(entry, indent=1))
    part.replace(record)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
