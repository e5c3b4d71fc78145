"""One guard around every library that reads: what it raises becomes one sentence that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from delineate.core.errors import DelineateError, InputError
from delineate.core.terminal_text import excerpt

REASON = 200  # characters of what a library says
COPY_AGAIN = "Copy, download or export it again."


@contextmanager
def reading(
    file: Path | str,
    code: str = "E-FILE-DAMAGED",
    error: type[DelineateError] = InputError,
    what: str = "is damaged, or not what it says it is",
    hint: str = COPY_AGAIN,
) -> Iterator[None]:
    """Read a file with a library.

    Whatever the library raises becomes an ``error`` "FILE WHAT: why", with the exception as its cause (``--debug``
    shows it). What this package raises passes.
    """
    try:
        yield
    except DelineateError:
        raise
    except MemoryError as cause:
        name = file.name if isinstance(file, Path) else file
        raise error("E-MEMORY", f"{name} asks for more memory than there is.", hint) from cause
    except (Exception, SystemExit) as cause:  # a reader of another distribution may do anything
        name = file.name if isinstance(file, Path) else file
        raise error(code, f"{name} {what}: {reason(cause)}.", hint) from cause


def reason(error: BaseException) -> str:
    """What an exception says, in one line: its own words, or what kind of error it is where they say little."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    lines = str(error).strip().split("\n")
    words = excerpt(lines[0], REASON).rstrip(".")
    return words if " " in words else f"{type(error).__name__} {words}".rstrip()
