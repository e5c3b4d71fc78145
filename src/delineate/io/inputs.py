"""What is at a path; and whether a place to write to is part of what is read: told by inode, so that links and
spellings do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from delineate.core.errors import InputError

_Inode = tuple[int, int]


@dataclass(frozen=True)
class Conflict:
    """An input that an output would touch, and how: "is", "holds", "lies in" or "is a file of"."""

    path: Path
    relation: str


def path_of(given: Any, hint: str) -> Path:
    """A path as it was given: text or a path. Raises InputError, with what to do instead, for anything else.

    An empty text is none, though Path makes the folder one is in of it.
    """
    if not isinstance(given, str | PathLike):
        raise InputError("E-PATH", f"A file is named by text or a path, not by {type(given).__name__}.", hint)
    if given == "":
        raise InputError("E-PATH", "The path is an empty text.", f'{hint} The folder you are in is ".".')
    return Path(given)


def is_there(path: Path) -> bool:
    """Whether something is at a path; nothing is at one that no system has: too long, or with a null byte."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether an ordinary file is at a path, as ``is_there``."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def conflicting_input(output: Path, inputs: Sequence[Path]) -> Conflict | None:
    """The first input that ``output`` is, holds or lies in; None where there is none.

    Names need not exist. A file is also part of a folder if only its content is: by a hard link, or through a link
    that lies in the folder.
    """
    target = output.resolve()
    place, above = _inode(target), [_inode(folder) for folder in target.parents]
    for source in inputs:
        real = source.resolve()
        own = _inode(real)
        if real == target or (own is not None and own == place):
            return Conflict(source, "is")
        if real in target.parents or (own is not None and own in above):
            return Conflict(source, "lies in")
        if target in real.parents or (place is not None and place in [_inode(folder) for folder in real.parents]):
            return Conflict(source, "holds")
        if place is not None and target.is_file() and real.is_dir() and place in _inodes_in(real):
            return Conflict(source, "is a file of")
    return None


def _inode(path: Path) -> _Inode | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None


def _inodes_in(folder: Path) -> Iterator[_Inode | None]:
    return (_inode(path) for path in folder.rglob("*"))
