"""Opening a scan: the format is detected from the content, not the name."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from delineate.core.errors import InputError, Notice
from delineate.core.frame import Modality
from delineate.core.frame_source import SteadyFrames
from delineate.core.hashing import sha256_of
from delineate.core.reading import reading
from delineate.core.scan import NOT_OPENED, Scan, ScanKind, SourceFile
from delineate.core.terminal_text import command, counted
from delineate.io.formats import FORMATS, HEAD_BYTES, FileFormat
from delineate.io.inputs import is_there, path_of
from delineate.io.options import ReadOptions
from delineate.io.readers.frame_folder import PICTURE_SUFFIXES
from delineate.io.unread import unread
from delineate.io.unused_options import unused
from delineate.preprocess.intensity import named_window

_LOG = logging.getLogger(__name__)


def open_scan(path: str | Path, options: ReadOptions | None = None, **changes: Any) -> Scan:
    """Open an image, a volume, a video, a DICOM series or a folder of frames.

    ``changes`` are fields of ReadOptions: ``open_scan("ct", series="3")``.
    Raises InputError or GeometryError saying what is wrong with the file and what to do.
    """
    path = path_of(path, NOT_OPENED)
    chosen = replace(options or ReadOptions(), **changes)
    if not is_there(path):
        several = set(str(path)) & set("*?[")
        hint = "A pattern stands for several scans: delineate batch." if several else "Check the spelling of the path."
        raise InputError("E-FILE-MISSING", f"There is no file or folder {path}.", hint)
    with reading(path):
        scan = _open_folder(path, chosen) if path.is_dir() else _open_file(path, chosen)
    if chosen.skip_damaged and scan.kind is ScanKind.VIDEO:
        scan = replace(scan, source=SteadyFrames(scan.source))
    if chosen.modality is not None:
        scan = replace(scan, modality=Modality(chosen.modality, "as was said"))
    if chosen.slice_axis is not None and scan.kind is ScanKind.VOLUME:
        scan = scan.sliced_along(chosen.slice_axis)
    return scan.with_window(named_window(chosen.window)) if chosen.window is not None else scan


def _matches(one: FileFormat, head: bytes) -> bool:
    """Whether a file is of a format; a format of another distribution whose test fails hides no other."""
    try:
        return bool(one.matches(head))
    except Exception as error:
        _LOG.warning("The format %s cannot tell its files: %s: %s", one.name, type(error).__name__, error)
        return False


def identify(path: Path) -> FileFormat:
    """The format of a file, from its content.

    Raises InputError for an empty file or one of no known format.
    """
    head = file_head(path)
    single = path.name.lower().endswith((".nii", ".nii.gz"))  # its magic is broken where it looks like Analyze's .hdr
    for one in FORMATS.values():
        if _matches(one, head) and not (single and one.name == "Analyze"):
            return one
    header = _header_beside(path)
    if header is not None:
        return identify(header)
    known = ", ".join(FORMATS)
    if single:
        magic = head[344:348]
        raise InputError(
            "E-NIFTI-MAGIC",
            f"{path.name} is not a NIfTI file: the magic at byte 344 is {magic!r}, or the header is cut short.",
            "Check that it was downloaded completely"
            + (f": {command('gzip', '-t', path.name)}" if path.name.lower().endswith(".gz") else "."),
        )
    if (other := unread(head)) is not None:
        raise InputError("E-FORMAT-UNKNOWN", f"{path.name} is {other[0]}: that is not read.", other[1])
    raise InputError(
        "E-FORMAT-UNKNOWN",
        f"{path.name} is none of the formats that can be read.",
        f"These can: {known} (MP4, MOV, AVI, MKV, WebM, MPEG, WMV and others); folders of DICOM files or pictures.",
    )


def _header_beside(path: Path) -> Path | None:
    """The ``.hdr`` to an ``.img``, the ``.HEAD`` to a ``.BRIK``: by itself it is voxels of no known size."""
    if path.name.endswith((".BRIK", ".BRIK.gz")):
        from delineate.io.readers.nibabel_volume import afni_header

        afni = afni_header(path)
        return afni if afni is not None and afni.is_file() else None
    if not path.name.lower().endswith((".img", ".img.gz")):
        return None
    from delineate.io.readers.nifti_file import is_header, other_of_pair

    header = other_of_pair(path)
    return header if header is not None and is_header(file_head(header)) else None


def detached_data(path: Path) -> tuple[Path, ...]:
    """Files beside a header that hold its voxels; none where it holds them itself, or cannot be read."""
    try:
        with reading(path):
            found = identify(path)
            return tuple(vars(import_module(found.module))["detached_data"](path)) if found.detached else ()
    except InputError:
        return ()


def file_head(path: Path) -> bytes:
    """The first bytes of a file; of its content, if it is gzip.

    Raises InputError if it is empty, no ordinary file, cannot be read, or is damaged gzip.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise InputError("E-FILE-KIND", f"{path} is no ordinary file, but a pipe or a device.", "Save it as a file.")
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(
            "E-FILE-UNREADABLE",
            f"{path} cannot be read: {error.strerror}.",
            "See to its rights, and whether the disk is there.",
        ) from None
    if not head:
        raise InputError("E-FILE-EMPTY", f"{path.name} is empty (0 bytes).", "Copy or download it again.")
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        with path.open("rb") as stream:
            content = zlib.decompressobj(wbits=31).decompress(stream.read(1 << 16), HEAD_BYTES)
    except zlib.error as error:
        raise _damaged_gzip(path, str(error)) from None
    if not content:
        raise _damaged_gzip(path, "it is cut short")
    return content


def _damaged_gzip(path: Path, why: str) -> InputError:
    return InputError(
        "E-GZIP-DAMAGED", f"{path.name} is damaged gzip: {why}.", f"Check it with: {command('gzip', '-t', path.name)}"
    )


def _only_links(broken: int, closed: int) -> str:
    nowhere = ", only " + counted(broken, "link that leads nowhere", "links that lead nowhere") if broken else ""
    return nowhere or (
        ", only " + counted(closed, "linked folder, which is not entered", "linked folders, which are not entered")
        if closed
        else ""
    )


def _open_file(path: Path, options: ReadOptions) -> Scan:
    found = identify(path)
    _require_unpacked(path, found)
    reader: Callable[[Path, ReadOptions], Scan] = vars(import_module(found.module))["read"]
    scan = reader(path, options)
    scan = scan.with_notices(*unused(options, found.module.rpartition(".")[2], scan))
    if scan.file is None:
        scan = replace(scan, file=SourceFile(path, found.name, sha256_of(path)))
    name = path.name.lower()
    suffix = ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()
    misleads = any(suffix in other.suffixes for other in FORMATS.values() if other is not found and suffix)
    if misleads and suffix not in found.suffixes:
        scan = scan.with_notices(
            Notice("W-NAME-MISLEADS", f"The file is {found.name} whatever its name says; it was read as that.")
        )
    return scan


def _require_unpacked(path: Path, found: FileFormat) -> None:
    """That gzip is around what is read with it. Raises InputError saying how to unpack it."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    if packed and not found.gzipped:
        raise InputError(
            "E-GZIP-AROUND", f"{path.name} is {found.name} packed with gzip.",
            f"Unpack it first: {command('gzip', '-dk', path)}",
        )  # fmt: skip


def _open_folder(path: Path, options: ReadOptions) -> Scan:
    """A DICOM series, or pictures as frames. Links to files are read, as a person named their folder; it is said how
    many lead out of it, and how many nowhere. Linked folders are not entered.
    """
    files: list[Path] = []
    inside = path.resolve()
    links = broken = closed = 0
    for entry in sorted(path.rglob("*")):
        if entry.is_file():
            files.append(entry)
            links += entry.is_symlink() and not entry.resolve().is_relative_to(inside)
        elif entry.is_symlink() and not entry.exists():
            broken += 1
        elif entry.is_symlink():
            closed += 1
        if len(files) > options.max_files:
            raise InputError(
                "E-FOLDER-LARGE",
                f"{path} holds more than {options.max_files} files.",
                "Name the folder of one study, or raise --max-files.",
            )
    if not files:
        raise InputError(
            "E-FOLDER-EMPTY",
            f"The folder {path} holds no files{_only_links(broken, closed)}.",
            "Fetch what they stand for first (dvc pull, git annex get)."
            if broken
            else "Name the folder that is linked to."
            if closed
            else "",
        )
    notices = []
    if links:
        notices.append(
            Notice(
                "W-LINKS-OUTSIDE",
                counted(
                    links,
                    "file is a link that leads outside the folder; it was followed.",
                    "files are links that lead outside the folder; they were followed.",
                ),
            )
        )
    if broken:
        notices.append(
            Notice(
                "W-LINKS-BROKEN",
                counted(broken, "link leads nowhere and was left out.", "links lead nowhere and were left out."),
            )
        )
    if closed:
        notices.append(Notice("W-LINKS-FOLDERS", f"{closed} linked folders were not entered."))
    direct = [f for f in files if f.parent == path and f.suffix.lower() in PICTURE_SUFFIXES]
    if direct and len(direct) * 2 >= sum(f.parent == path for f in files):
        from delineate.io.readers import frame_folder

        scan = frame_folder.read(path, options)
        return scan.with_notices(*notices, *unused(options, "frame_folder", scan))
    from delineate.io.readers import dicom

    once = {file.resolve(): file for file in reversed(files)}  # a link beside its file is no second slice
    scan = dicom.read_files(path, sorted(once.values()), options)
    return scan.with_notices(*notices, *unused(options, "dicom", scan))
