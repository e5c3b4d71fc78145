"""What is in the files of a case, as hashes: to tell whether it is still the case that was measured or learned from.

Names, sizes and times do not tell it: a corrected label often has the size of the one before. Every file is read, once
in a process; after that it is known by its inode, size and times until it changes.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from delineate.core.errors import InputError
from delineate.core.hashing import sha256_of
from delineate.data.cases import Case
from delineate.data.shards import ShardReader

REMEMBERED = 1 << 16  # files whose hash is kept in memory


def case_content(case: Case) -> str:
    """A hash of all that measuring a case depends on: its pixels, its labels, and what they are read as.

    Raises InputError for a file that leads outside the data set or cannot be read.
    """
    about = [case.id, case.dataset, case.task, sorted(case.structures.items()), repr(case.reader)]
    files = [sorted(_hashes(case, path).items()) for path in dict.fromkeys((case.image, case.label))]
    return hashlib.sha256(json.dumps([about, files]).encode()).hexdigest()


def scan_content(case: Case) -> str:
    """A hash of a case's scan alone, the same wherever its files lie and whatever they are called.

    Of one file it is the sha256 of its bytes; of a file that is missing, a hash of the case's name. Raises InputError
    as ``case_content`` does.
    """
    hashes = _hashes(case, case.image)
    if isinstance(case.reader, ShardReader):
        hashes = {name: found for name, found in hashes.items() if name.rpartition(".")[0].endswith("image")}
    else:  # hidden files come and go (.DS_Store)
        hashes = {name: found for name, found in hashes.items() if not Path(name).name.startswith(".")}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return hashlib.sha256("\n".join(sorted(hashes.values()) or (case.dataset, case.id)).encode()).hexdigest()


def _hashes(case: Case, path: Path) -> dict[str, str]:
    """The sha256 of every file that is read for a path of a case, by its name in there; of a shard, of the sample's."""
    files = case.home.files(path)
    if isinstance(case.reader, ShardReader):
        members = case.reader.members(case)
        return {name: hashlib.sha256(members[name]).hexdigest() for name in members}
    try:
        return {_name(file, path): file_content(file) for file in files}
    except OSError as error:
        raise InputError(
            "E-FILE-UNREADABLE",
            f"{error.filename} cannot be read: {error.strerror}.",
            "See to its rights, and whether the disk is there.",
        ) from None


def _name(file: Path, path: Path) -> str:
    return file.relative_to(path).as_posix() if file != path and file.is_relative_to(path) else file.name


def file_content(file: Path) -> str:
    """The sha256 of a file, read only if it changed since it was asked for. Raises OSError if it cannot be."""
    about = file.stat()
    return _hash(str(file), (about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns))


@lru_cache(REMEMBERED)
def _hash(file: str, state: tuple[int, ...]) -> str:
    """The sha256 of a file while it is in a state: inode, size, times. A copied time is not a copied ctime."""
    return sha256_of(Path(file))
