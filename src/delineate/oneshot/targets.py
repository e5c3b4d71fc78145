"""What a run looks at: files that were named, and the scans in folders, each with a name of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from delineate.core.errors import InputError, Notice
from delineate.core.terminal_text import counted
from delineate.data.mask_folders import MASK_ENDING, MASK_FOLDERS, READ, beside_scans, lower_case
from delineate.data.mask_folders import stem_of as stem
from delineate.io.label_names import label_names
from delineate.io.naming import stem_of
from delineate.io.opening import identify
from delineate.io.own_files import is_marked_scan, is_own

SHEET, TILES = "contact_sheet.png", "tiles"  # of a run
TRACKS = "tracks.json"  # in a folder of a video's masks
LEFT_OUT: Final = {  # one, several
    "W-TARGETS-LABELS": (
        "file is left out: it is labels of a scan beside it",
        "files are left out: they are labels of scans beside them",
    ),
    "W-TARGETS-UNREAD": (
        "file is left out: it cannot be read as what it is named",
        "files are left out: they cannot be read as what they are named",
    ),
}


@dataclass(frozen=True)
class TargetFile:
    """A scan to look at, and what its outputs are called."""

    path: Path
    name: str


@dataclass(frozen=True)
class Targets:
    """Every scan once, and what should be known of the files that are left out."""

    files: tuple[TargetFile, ...]
    notices: tuple[Notice, ...] = ()


def targets_in(
    paths: Sequence[Path],
    frames: bool,
    supports: AbstractSet[Path] = frozenset(),
    asked: Collection[Path] | None = None,
) -> Targets:
    """The scans that paths stand for, in order of name within a folder.

    A folder of DICOM files is one scan, and with ``frames`` so is one of pictures; of any other folder each file that
    can be read is one, and so on in the folders in it; folders that links lead to again are gone through once. Left
    out are supports, labels and previews that this program wrote, labels beside their scan, and what cannot be read; of
    the last two there is a notice.

    asked  paths that a person named, which are taken whatever they are; default: all of them

    Raises InputError for what is not there and where nothing is left.
    """
    named = set(paths if asked is None else asked)
    files: list[Path] = []
    unread: list[Path] = []
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise InputError("E-FILE-MISSING", f"There is no file or folder {path}.", "Check the spelling of the path.")
        files += _scans_in(path, frames, seen, unread) if path.is_dir() else [path]
    once: dict[Path, Path] = {}
    for file in files:
        if file.resolve() not in supports:
            once.setdefault(place_of(file), file)
    kept = list(once.values())
    pictures = {(file.parent, stem(file)) for file in kept}
    scans = {lower_case(place) for file in files for place in (file, *file.parents)}
    labels = {file for file in kept if file not in named and _is_label(file, pictures, scans)}
    kept = [file for file in kept if file not in labels]
    if not kept:
        raise InputError(
            "E-TARGETS-NONE", "There is no scan to look at beside the supports.", "Name files, or a folder of scans."
        )
    taken: set[str] = set()
    found = tuple(TargetFile(file, _free(stem_of(file), taken)) for file in kept)
    return Targets(found, (*_left_out("W-TARGETS-LABELS", labels), *_left_out("W-TARGETS-UNREAD", unread)))


def _scans_in(folder: Path, frames: bool, seen: set[Path], unread: list[Path]) -> list[Path]:
    """The scans of a folder; ``seen`` are folders that were gone through, ``unread`` files named as scans are."""
    place = folder.resolve()
    if place in seen:
        return []
    seen.add(place)
    inside = [one for one in sorted(folder.iterdir()) if not one.name.startswith(".")]
    kinds = {file: _kind(file) for file in inside if file.is_file()}
    if any(kind == "DICOM" for kind in kinds.values()) or (frames and any(kinds.values())):
        return [folder]
    found = [file for file, kind in kinds.items() if kind is not None and not _is_made(file, kind)]
    unread += [file for file, kind in kinds.items() if kind is None and file.name.lower().endswith(READ)]
    for inner in (one for one in inside if one.is_dir() and not (one / TRACKS).is_file()):
        found += _scans_in(inner, frames, seen, unread)
    return found


def _is_made(file: Path, kind: str) -> bool:
    """Whether this program wrote it and it is no scan: labels, which have names, or a picture to look at."""
    if not is_own(file):
        return False
    return bool(label_names(file, kind)) or (kind == "PNG" and not is_marked_scan(file))


def place_of(path: Path) -> Path:
    """Where a file or folder lies, however its path is spelled; two links to one file are two places."""
    return path.parent.resolve() / path.name


def _is_label(path: Path, pictures: AbstractSet[tuple[Path, str]], scans: Collection[str]) -> bool:
    """Whether it is named as labels of a scan beside it, or lies in a folder of masks beside scans or their folder."""
    name, folder = stem(path), path.parent
    plain = MASK_ENDING.sub("", name)
    if folder.name.lower() in MASK_FOLDERS and {(folder.parent, name), (folder.parent, plain)} & pictures:
        return True
    return (plain != name and (folder, plain) in pictures) or beside_scans(path, scans)


def _left_out(code: str, files: Collection[Path]) -> tuple[Notice, ...]:
    if not files:
        return ()
    one, several = LEFT_OUT[code]
    return (Notice(code, f"{counted(len(files), one, several)}, such as {min(files).name}."),)


def _kind(file: Path) -> str | None:
    try:
        return identify(file).name
    except InputError:
        return None


def _free(stem: str, taken: set[str]) -> str:
    names = (stem if n == 1 else f"{stem}_{n}" for n in count(1))
    name = next(one for one in names if one.casefold() not in taken)
    taken.add(name.casefold())
    return name
