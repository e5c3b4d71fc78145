"""A study in a zip archive, as portals hand it out: unpacked into a folder of its own, bounded and confined."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.frame_source import ClosableSource, FrameSource, VolumeFrames
from delineate.core.hashing import sha256_of
from delineate.core.reading import reading
from delineate.core.scan import Scan, SourceFile
from delineate.io.options import ReadOptions

MOST_RATIO = 200  # bytes of files to a byte of the archive
ALWAYS = 256 << 20  # bytes of files that any archive may hold
_IGNORED = ("__MACOSX", ".DS_Store", "Thumbs.db")


class UnpackedFrames:
    """Frames of files in a temporary folder, which goes when they are let go of."""

    def __init__(self, source: FrameSource, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._source, self._folder = source, folder
        self.shape, self.dtype = source.shape, source.dtype

    def read(self, index: int) -> NDArray[Any]:
        return self._source.read(index)

    def close(self) -> None:
        if isinstance(self._source, ClosableSource):
            self._source.close()
        self._folder.cleanup()


def read(path: Path, options: ReadOptions) -> Scan:
    """What the archive holds, opened as a folder would be; one file as that file.

    Raises InputError for members that lead elsewhere (absolute, "..", links), encrypted ones, archives in the archive
    alone, and for more files or bytes than allowed.
    """
    from delineate.io.opening import open_scan
    from delineate.io.readers import npz

    if path.suffix.lower() == ".npz":  # which says what is wrong with it
        return npz.read(path, options)
    folder = tempfile.TemporaryDirectory(prefix="delineate-")
    try:
        with reading(path, "E-ZIP-DAMAGED", what="is a damaged archive"):
            _unpack(path, Path(folder.name), options)
        inner = _inner(Path(folder.name))
        if inner.is_file() and zipfile.is_zipfile(inner) and inner.suffix.lower() != ".npz":
            raise InputError("E-ZIP-NESTED", f"{path.name} holds an archive.", "Unpack it and name what is in it.")
        scan = open_scan(inner, options)
        inside = scan.file.format if scan.file else "files"
        series = scan.file.series if scan.file else ""
        scan = replace(scan, file=SourceFile(path, f"{inside} in a zip archive", sha256_of(path), series))
        if isinstance(scan.source, VolumeFrames):
            voxels = np.asarray(scan.source.voxels)
            folder.cleanup()
            return replace(scan, source=VolumeFrames(voxels, scan.slice_axis))
        return replace(scan, source=UnpackedFrames(scan.source, folder))
    except BaseException:
        folder.cleanup()
        raise


def _unpack(path: Path, folder: Path, options: ReadOptions) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [one for one in archive.infolist() if not one.is_dir() and not _is_ignored(one.filename)]
        _check(path, members, options)
        for member in members:
            target = folder / PurePosixPath(member.filename)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("xb") as out:
                shutil.copyfileobj(source, out, 1 << 20)  # zipfile ends where the member said it does


def _check(path: Path, members: list[zipfile.ZipInfo], options: ReadOptions) -> None:
    """Whether all members may be written, from the archive's table alone."""
    if not members:
        raise InputError("E-ZIP-EMPTY", f"{path.name} holds no files.", "Put one image, volume or series into it.")
    if len(members) > options.max_files:
        raise InputError(
            "E-FOLDER-LARGE", f"{path.name} holds more than {options.max_files} files.",
            "Unpack it and name the folder of one study, or raise --max-files.",
        )  # fmt: skip
    for member in members:
        why = _refused(member)
        if why:
            raise InputError(
                "E-ZIP-MEMBERS", f"{path.name} holds {member.filename}, {why}.", "Make an archive of the scan alone."
            )
    total, most = sum(one.file_size for one in members), max(ALWAYS, MOST_RATIO * path.stat().st_size)
    if total > most:
        raise InputError(
            "E-ZIP-LARGE",
            f"{path.name} would unpack to {total / 2**30:.1f} GiB, more than {MOST_RATIO} times its size.",
            "If you trust it, unpack it yourself and name the folder.",
        )


def _refused(member: zipfile.ZipInfo) -> str:
    """Why a member is not written; "" where it is."""
    name = PurePosixPath(member.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in member.filename or ":" in member.filename:
        return "which leads out of the archive"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return "which is a link or no ordinary file"
    if member.flag_bits & 1:
        return "which is encrypted"
    if len(member.filename.encode()) > 1000 or any(len(part.encode()) > 255 for part in name.parts):
        return "whose name is too long"
    return ""


def _is_ignored(name: str) -> bool:
    return any(part in _IGNORED for part in PurePosixPath(name).parts)


def _inner(folder: Path) -> Path:
    """The folder or file meant: the first one that holds more than another one."""
    while folder.is_dir() and len(entries := list(folder.iterdir())) == 1:
        folder = entries[0]
    return folder
