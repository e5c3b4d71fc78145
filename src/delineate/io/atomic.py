"""Writing without ever leaving half a file: a temporary name in the same folder, then one rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from delineate.errors import OutputError


def check_writable(path: Path, overwrite: bool = False) -> None:
    """Whether ``path`` can be written; call it before the work, not after.

    Raises OutputError if it exists already (unless ``overwrite``), its folder is missing or closed, or the name is bad.
    """
    if len(path.name.encode()) > 240:
        raise OutputError(
            "E-OUTPUT-NAME", f"The name {path.name[:40]}… is too long for a file.", "Choose a shorter one."
        )
    if path.exists() and not overwrite:
        raise OutputError("E-OUTPUT-EXISTS", f"{path} exists already.", "Replace it with --overwrite, or choose -o.")
    if path.suffix and path.is_dir():
        raise OutputError("E-OUTPUT-FOLDER", f"{path} is a folder.", "Choose another name with -o.")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError("E-OUTPUT-CLOSED", f"Nothing can be written in {folder}.", "Choose another place with -o.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well, and is removed when not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise OutputError("E-OUTPUT-FAILED", f"{path} could not be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder of files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            old = temporary.with_suffix(".old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
    except OSError as error:
        raise OutputError("E-OUTPUT-FAILED", f"{path} could not be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file at once, or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
