"""Files made from checkpoints that take long to make, kept beside them: checked before use, bounded in bytes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from delineate.checkpoints.entries import read_record, write_entry
from delineate.checkpoints.entry_lock import locked, not_writable
from delineate.checkpoints.store import folder
from delineate.core.errors import ModelError, OutputError
from delineate.core.hashing import sha256_of

NAME = "exported"  # of the folder, and of its lock
CAPACITY = 8 << 30  # bytes; files used longest ago go first
KINDS = (".onnx", ".blob")  # exported encoders, and what OpenVINO made of them

log = logging.getLogger(__name__)


@contextmanager
def cached_file(name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """A file that ``make`` writes at the path it is given, made only once; it is there until the block ends.

    A kept file whose hash is not the recorded one is made anew, and that is logged. Where the store is full or can only
    be read, the file is made in a temporary folder.
    Raises OSError if that is full, too.
    """
    place = folder() / NAME
    path = place / name
    with ExitStack() as stack:
        try:
            with locked(place, NAME):
                _provide(path, make)
        except (ModelError, OutputError) as error:
            if error.code not in ("E-MODEL-STORE", "E-MODEL-BUSY", "E-OUTPUT-FAILED"):
                raise
            if not _intact(path):
                path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="delineate-"))) / name
                make(path)
        yield path


def _provide(path: Path, make: Callable[[Path], None]) -> None:
    """See that an intact file lies there; called by the one who holds the folder."""

    def fill(place: Path) -> str:
        make(place)
        return sha256_of(place)

    try:
        if not _intact(path):
            if path.exists():
                log.warning("%s is not the file that was written there: it is thrown away and made anew.", path)
            for stale in path.parent.glob(".*.part"):
                stale.unlink(missing_ok=True)
            write_entry(_record_path(path), path, "", fill)
    except OSError as error:
        raise not_writable(path.parent, error) from None
    with suppress(OSError):  # files of other users
        _record_path(path).touch()  # when it was last used
        _remove_longest_unused(path)


def _intact(path: Path) -> bool:
    """Whether the file is there and has the recorded hash; a damaged record counts as none."""
    with suppress(ModelError, OSError):
        record = read_record(_record_path(path))
        return record is not None and record.file == path.name and sha256_of(path) == record.sha256
    return False


def _remove_longest_unused(used: Path) -> None:
    files = [path for path in used.parent.rglob("*") if path.suffix in KINDS and path.is_file()]
    files.sort(key=lambda path: (path == used, _last_used(path)))
    total = sum(path.stat().st_size for path in files)
    for path in files[:-1]:
        if total <= CAPACITY:
            break
        total -= path.stat().st_size
        path.unlink()
        _record_path(path).unlink(missing_ok=True)


def _last_used(path: Path) -> float:
    record = _record_path(path)
    return (record if record.is_file() else path).stat().st_mtime


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")
