"""Voxels in files of their own, named by a header: only files beside the header are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from delineate.core.errors import InputError
from delineate.core.terminal_text import excerpt

MOST_FILES: Final = 100_000
_TOGETHER: Final = "Keep the header and its data in one folder, under the names they had."
_ANEW: Final = "Write the header anew with the program it came from."


def beside(header: Path, name: str, code: str) -> Path:
    """The file of that name in the header's own folder.

    Raises InputError, with ``code``, for a name that leads elsewhere, that no system has, or of no file.
    """
    shown = excerpt(name)
    try:
        source = (header.parent / name).resolve()
        inside, there = source.parent == header.parent.resolve(), source.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, a loop of links
        raise InputError(code, f"{header.name} points to data under no possible name: {shown}.", _ANEW) from None
    if not inside:
        raise InputError(code, f"{header.name} points to data outside its own folder: {shown}.", _TOGETHER)
    if not there:
        raise InputError(
            code,
            f"{header.name} keeps its voxels in {shown}, which is missing.",
            _TOGETHER,
        )
    return source


def numbered_names(header: Path, pattern: str, first: int, last: int, step: int, code: str) -> Iterator[str]:
    """``slice%03d.raw`` for every number. Raises InputError for a pattern without a number, or far too many."""
    before, percent, after = pattern.partition("%")
    digits, letter, end = after.partition("d")
    if (
        not (percent and letter and (not digits or digits.isdecimal()) and len(digits) < 4 and "%" not in end)
        or not step
    ):
        raise InputError(
            code, f"{header.name} names its data files by a pattern that is none: {excerpt(pattern)}.", _ANEW
        )
    wanted = range(first, last + (1 if step > 0 else -1), step)
    if not 0 < len(wanted) <= MOST_FILES:
        raise InputError(code, f"{header.name} says its voxels are in {len(wanted)} files.", _ANEW)
    return (f"{before}{number:{digits}d}{end}" for number in wanted)


def require_some(header: Path, names: Sequence[str], code: str) -> Sequence[str]:
    """The names. Raises InputError for none, or far too many."""
    if not 0 < len(names) <= MOST_FILES:
        raise InputError(code, f"{header.name} lists {len(names)} data files.", _ANEW)
    return names
