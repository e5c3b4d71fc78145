"""What a run looks at: files that were named, and the scans in folders, each with a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from delineate.core.errors import InputError
from delineate.io.naming import stem_of
from delineate.io.opening import identify
from delineate.io.own_files import is_own


@dataclass(frozen=True)
class TargetFile:
    """A scan to look at, and what its outputs are called."""

    path: Path
    name: str


def targets_in(paths: Sequence[Path], frames: bool, supports: AbstractSet[Path] = frozenset()) -> list[TargetFile]:
    """The scans that paths stand for, in order of name within a folder.

    A folder of DICOM files is one scan, and with ``frames`` so is one of pictures; of any other folder each file that
    can be read is one, and so on in the folders in it. Left out are supports, and label files that this program wrote.

    Raises InputError for what is not there and where nothing is left.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError("E-FILE-MISSING", f"There is no file or folder {path}.", "Check the spelling of the path.")
        files += _scans_in(path, frames) if path.is_dir() else [path]
    kept = [file for file in dict.fromkeys(files) if file.resolve() not in supports]
    if not kept:
        raise InputError(
            "E-TARGETS-NONE", "There is no scan to look at beside the supports.", "Name files, or a folder of scans."
        )
    taken: set[str] = set()
    return [TargetFile(file, _free(stem_of(file), taken)) for file in kept]


def _scans_in(folder: Path, frames: bool) -> list[Path]:
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]
    kinds = {file: _kind(file) for file in files}
    if any(kind == "DICOM" for kind in kinds.values()) or (frames and any(kinds.values())):
        return [folder]
    found = [file for file, kind in kinds.items() if kind is not None and not is_own(file)]
    for inner in sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")):
        found += _scans_in(inner, frames)
    return found


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
