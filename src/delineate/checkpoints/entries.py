"""A kept file and the record beside it, which says what the file was when it was kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from delineate.core.errors import ModelError
from delineate.core.file_names import plain_name
from delineate.io.atomic import replacing, write_bytes

LONGEST = 1 << 16  # bytes of a record


def _plain(name: str) -> str:
    """A name that cannot lead out of its folder, on any system."""
    plain = PurePosixPath(name).name == PureWindowsPath(name).name == name
    if not plain or name in ("", ".", "..") or not name.isprintable():
        raise ValueError("it has to be a plain file name")
    return plain_name(name)


class StoreRecord(BaseModel):
    """What a file was when it was kept.

    file      its name, in the folder of the record
    sha256    of its bytes
    source    where it came from: an address or a file's name
    size      in bytes, and
    mtime_ns  when it was last written: while both are the same, the file is taken for unchanged. None in records of
              earlier versions.
    """

    model_config = ConfigDict(frozen=True)

    file: Annotated[str, AfterValidator(_plain)]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    source: str = ""
    size: int | None = None
    mtime_ns: int | None = None

    @property
    def was_fetched(self) -> bool:
        """Whether it came from where it is published, not from a person's file."""
        return "://" in self.source

    def describes(self, status: os.stat_result) -> bool:
        """Whether size and time are those of the file that was kept."""
        return (self.size, self.mtime_ns) == (status.st_size, status.st_mtime_ns)


def read_record(path: Path) -> StoreRecord | None:
    """The record at ``path``; None where there is none. Raises ModelError if it is damaged."""
    if path.exists() and not path.is_file():
        raise _damaged(path, "it is no ordinary file")
    try:
        with path.open("rb") as stream:
            record = StoreRecord.model_validate_json(stream.read(LONGEST))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, " ".join([*map(str, first["loc"]), first["msg"]])) from None
    except OSError as error:
        raise not_readable(path, error) from None
    if (path.parent / record.file).is_symlink():
        raise _damaged(path, f"{record.file} is a link, and links lead elsewhere")
    return record


def write_entry(path: Path, target: Path, source: str, fill: Callable[[Path], str]) -> None:
    """Replace a file and its record, both or none; to be called by the one who holds the entry.

    fill  writes the new file at the path it is given, and gives the sha256 of what it wrote
    """
    with replacing(path) as note, replacing(target) as file:
        sha256, status = fill(file), file.stat()
        record = StoreRecord(
            file=target.name, sha256=sha256, source=source, size=status.st_size, mtime_ns=status.st_mtime_ns
        )
        note.write_text(record.model_dump_json(indent=1) + "\n")


def refresh_record(path: Path, record: StoreRecord, file: Path) -> None:
    """Note the time of a file whose hash was found unchanged; to be called by the one who holds the entry."""
    status = file.stat()
    fresh = record.model_copy(update={"size": status.st_size, "mtime_ns": status.st_mtime_ns})
    write_bytes(path, (fresh.model_dump_json(indent=1) + "\n").encode())


def not_readable(path: Path, error: OSError) -> ModelError:
    return ModelError("E-MODEL-STORE", f"{path} cannot be read: {error.strerror or error}.", "See to its rights.")


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(
        "E-MODEL-RECORD",
        f"The record {path} cannot be used: {why}.",
        f"Keep the model again: delineate models pull {path.stem}, or delineate models import FILE "
        f"--system {path.stem}",
    )
