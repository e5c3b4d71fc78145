"""Scans that a server has: uploaded or below its root, each once, told apart by content."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from delineate.core.errors import GeometryError, InputError
from delineate.core.hashing import sha256_of
from delineate.core.scan import Scan, ScanKind
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.preprocess.display import shown_window
from delineate.server.problems import RefusalError, not_found

ID_CHARACTERS: Final = 16  # of the content's hash
VIDEO_FRAMES: Final = 32  # of a video, decoded frames that may be kept
SPARE_DISK: Final = 2**28  # bytes that uploads leave free
SUFFIXES: Final = re.compile(r"(\.[A-Za-z0-9]{1,8}){1,2}$")
UPLOADED: Final = "upload"


@dataclass(frozen=True, eq=False)
class KnownScan:
    """A scan and what a page shows of it."""

    id: str
    scan: Scan
    window: tuple[float, float]

    @property
    def nbytes(self) -> int:
        """Bytes of memory it may take: all voxels; of a video, the frames that are kept."""
        frames = min(len(self.scan), VIDEO_FRAMES) if self.scan.kind is ScanKind.VIDEO else len(self.scan)
        return frames * self.scan.width * self.scan.height * self.scan.source.dtype.itemsize

    def as_json(self) -> dict[str, Any]:
        scan = self.scan
        return {
            "id": self.id,
            "kind": scan.kind,
            "shape": scan.grid.shape,
            "affine": scan.grid.affine.tolist(),
            "axes": scan.grid.axis_codes,
            "placement": scan.grid.placement,
            "spacing": scan.grid.spacing,
            "frames": len(scan),
            "width": scan.width,
            "height": scan.height,
            "frame_spacing": scan.frame_spacing,
            "frame_axes": scan.frame_axes,
            "slice_axis": scan.slice_axis,
            "modality": scan.modality.name,
            "window": self.window,
            "times": scan.times,
            "notices": [notice.message for notice in scan.notices],
        }


class ScanStore:
    """Scans by their id. Uploads lie below ``folder`` under names of the server's own.

    folder       where uploads are kept
    root         the folder below which scans may be opened by path; None: nowhere
    max_upload   bytes of one upload
    max_uploads  bytes of all of them together
    """

    def __init__(
        self, folder: Path, root: Path | None = None, max_upload: int = 2**32, max_uploads: int = 2**36
    ) -> None:
        self._folder = folder
        self._root = root.resolve() if root is not None else None
        self._max_upload, self._max_uploads = max_upload, max_uploads
        self._known: OrderedDict[tuple[str, int | None], KnownScan] = OrderedDict()
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def get(self, id: str, slice_axis: int | None = None) -> KnownScan:
        """A scan, sliced along an axis; one of an earlier run is read again. Raises RefusalError (404)."""
        with self._lock:
            if (known := self._known.get((id, slice_axis))) is not None:
                self._known.move_to_end((id, slice_axis))
                return known
            if not re.fullmatch(rf"[0-9a-f]{{{ID_CHARACTERS}}}", id):
                raise not_found("scan", id)
            plain = self._known.get((id, None)) or self._kept(id)
            known = plain if slice_axis is None else _known(id, _sliced(plain.scan, slice_axis))
            self._known[id, slice_axis] = known
            return known

    def trim(self, most_bytes: int, used: Collection[str]) -> int:
        """Forget the scans that were used longest ago, until the others fit; they are read again when they are wanted.

        used  ids of those that stay. Returns the bytes that are held afterwards.
        """
        with self._lock:
            held = {id: known.nbytes for (id, _), known in self._known.items()}
            for id in [id for id in held if id not in used]:
                if sum(held.values()) <= most_bytes:
                    break
                del held[id]
                for key in [key for key in self._known if key[0] == id]:
                    del self._known[key]
            return sum(held.values())

    async def receive(self, parts: list[tuple[str, AsyncIterator[bytes]]]) -> Path:
        """Write an upload of one file, or of a folder's files, to the disk; returns where.

        Raises RefusalError (413) for more bytes than are taken; nothing of it is left then.
        """
        place = self._folder / f"new-{secrets.token_hex(8)}"
        place.mkdir(mode=0o700)
        try:
            left = min(self._max_upload, await run_in_threadpool(self._room))
            for number, (name, chunks) in enumerate(parts):
                target = place / _plain_name(name, number, single=len(parts) == 1)
                with target.open("wb") as stream:
                    async for chunk in chunks:
                        left -= len(chunk)
                        if left < 0:
                            raise self._too_much()
                        stream.write(chunk)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        return place

    def add_uploaded(self, place: Path, options: ReadOptions | None = None) -> KnownScan:
        """The scan that ``receive`` wrote; an upload of known content is dropped for the one that is there.

        Raises InputError or GeometryError for files that are no scan; nothing of them is left then.
        """
        kept, new = place, True
        try:
            id = self._id_of(_content_of(place), options)
            with self._lock:
                known, new = self._known.get((id, None)), not (self._folder / id).exists()
                if new:
                    kept = place.rename(self._folder / id)
            known = known or self._opened(_content_of(self._folder / id), options)
        except BaseException:
            shutil.rmtree(kept if new else place, ignore_errors=True)
            raise
        if not new:
            shutil.rmtree(place, ignore_errors=True)
        with self._lock:
            return self._known.setdefault((id, None), known)

    def add_below_root(self, path: str, options: ReadOptions | None = None) -> KnownScan:
        """A scan on the server's disk. Raises RefusalError (403) for whatever does not lie below its root."""
        if self._root is None:
            raise RefusalError(
                "E-SERVE-ROOT", "This server opens no files by their path.", "Start it with --root DIR.", status=403
            )
        try:
            wanted = (self._root / path).resolve()
        except (ValueError, OSError, RuntimeError):  # no path at all, or one that leads in circles
            raise not_found("file below the root", path) from None
        if not wanted.is_relative_to(self._root):
            raise RefusalError(
                "E-SERVE-ROOT", "The path leads out of the server's root.", "Name a file below it.", status=403
            )
        if not _is_there(wanted):
            raise not_found("file below the root", path)
        self._refuse_links(wanted)
        known = self._opened(wanted, options)
        with self._lock:
            (self._folder / f"{known.id}.path").write_text(str(wanted))
            return self._known.setdefault((known.id, None), known)

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            for known in self._known.values():
                known.scan.close()
            self._known.clear()

    def _refuse_links(self, folder: Path) -> None:
        """Raise RefusalError (403) for a folder with a link that leads out of the root."""
        assert self._root is not None
        for inside, folders, files in os.walk(folder):
            for name in (*folders, *files):
                path = Path(inside, name)
                if path.is_symlink() and not path.resolve().is_relative_to(self._root):
                    raise RefusalError(
                        "E-SERVE-ROOT",
                        "The folder holds a link that leads out of the server's root.",
                        "Put the file itself there.",
                        status=403,
                    )

    def _room(self) -> int:
        """Bytes that may still be uploaded, all uploads and the disk's free space considered."""
        used = sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())
        return max(0, min(self._max_uploads - used, shutil.disk_usage(self._folder).free - SPARE_DISK))

    def _too_much(self) -> RefusalError:
        if self._room() + SPARE_DISK >= self._max_upload:
            return too_large(self._max_upload)
        return RefusalError(
            "E-SERVE-QUOTA",
            "There is no room for another upload of this size.",
            "Remove uploads that nobody needs from the folder scans of the server's --state folder.",
            status=413,
        )

    def _kept(self, id: str) -> KnownScan:
        """A scan of an earlier run of the server."""
        named, kept = self._folder / f"{id}.path", self._folder / id
        if kept.is_dir():
            found = _content_of(kept)
        elif named.is_file() and self._root is not None:
            found = Path(named.read_text())
            if not found.resolve().is_relative_to(self._root) or not found.exists():
                raise not_found("scan", id)
        else:
            raise not_found("scan", id)
        known = self._opened(found)
        if known.id != id:
            raise RefusalError("E-SERVE-CHANGED", "The scan's file has changed since.", "Open it again.", status=410)
        return known

    def _id_of(self, content: Path, options: ReadOptions | None) -> str:
        """The id of an upload that can be opened; a folder's is known only once it was."""
        if content.is_file():
            return sha256_of(content)[:ID_CHARACTERS]
        known = self._opened(content, options)
        known.scan.close()
        return known.id

    def _opened(self, path: Path, options: ReadOptions | None = None) -> KnownScan:
        scan = open_scan(path, options)
        sha256 = scan.file.sha256 if scan.file and scan.file.sha256 else sha256_of(path)
        if path.is_dir() and scan.kind is ScanKind.VIDEO and len(scan) == 1:  # as a file, the same picture is none
            sha256 = hashlib.sha256(f"folder {sha256}".encode()).hexdigest()
        return _known(sha256[:ID_CHARACTERS], scan)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def too_large(limit: int) -> RefusalError:
    text = f"The request is larger than {limit / 2**20:.0f} MB."
    return RefusalError(
        "E-SERVE-LARGE", text, "Start the server with a larger --max-upload, or use --root.", status=413
    )


def _known(id: str, scan: Scan) -> KnownScan:
    window = shown_window(scan)
    return KnownScan(id, scan, (window.low, window.high))


def _sliced(scan: Scan, axis: int) -> Scan:
    if scan.kind is not ScanKind.VOLUME:
        raise GeometryError("E-SLICE-AXIS", "Only a volume has a slice axis.", "Leave slice_axis out.")
    return scan if scan.slice_axis == axis else scan.sliced_along(axis)


def _content_of(place: Path) -> Path:
    """The one file of an upload, or its folder."""
    files = sorted(place.iterdir())
    if not files:
        raise InputError("E-FILE-EMPTY", "The upload holds no file.", "Send at least one file.")
    return files[0] if len(files) == 1 else place


def _plain_name(name: str, number: int, single: bool) -> str:
    """A name of the server's own; of the client's the ending alone, which tells a header from its voxels."""
    found = SUFFIXES.search(name)
    ending = found.group().lower() if found else ""
    return f"{UPLOADED}{ending}" if single else f"{number:06}{ending}"
