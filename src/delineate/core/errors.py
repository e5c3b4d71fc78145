"""What went wrong, in which file, why, and what fixes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from delineate.core.terminal_text import message_text

_LOG: Final = logging.getLogger("delineate")
LONGEST: Final = 300  # characters of another library's message


class DelineateError(Exception):
    """An error a person can act on.

    code     stable identifier such as ``E-BOX-INVERTED``, searchable in the documentation
    message  what happened and to which file or prompt
    hint     the command or change that fixes it (may be empty)

    Both may repeat what a file says: they are kept as text that a person can read and that does nothing in a terminal.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message_text(message))
        self.code = code
        self.message = message_text(message)
        self.hint = message_text(hint)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InputError(DelineateError):
    """A file that cannot be read, or is not what it says it is."""


class GeometryError(InputError):
    """A scan whose place in space is missing, broken or contradictory."""


class PromptError(DelineateError):
    """A prompt that does not fit the scan."""


class OutputError(DelineateError):
    """A result that cannot be written where it was asked for."""


class ModelError(DelineateError):
    """A model or checkpoint that is missing, damaged or of another kind."""


class MissingExtraError(DelineateError):
    """A capability whose optional packages are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            "E-EXTRA",
            f"{what} needs packages that are not installed.",
            f'Install them with: python -m pip install "delineate[{extra}]"',
        )


class UnforeseenError(DelineateError):
    """An exception that nobody foresaw, as one sentence; ``__cause__`` is the exception itself."""

    @classmethod
    def of(cls, error: Exception, what: str = "") -> UnforeseenError:
        """The exception in words.

        what  the file or the step that it came from; "" where the exception is all that is known
        """
        code, why, hint = _in_words(error)
        made = cls(code, f"{what}: {why}" if what else why, hint)
        made.__cause__ = error
        return made


def foreseen(error: Exception, what: str | Path = "") -> DelineateError:
    """The exception as one sentence with a code: a DelineateError is its own; others are logged with their traceback.

    Such a batch goes on with its next case: ``except Exception as error: failures.append(foreseen(error, case.id))``.
    """
    if isinstance(error, DelineateError):
        return error
    _LOG.debug("%s", what, exc_info=error)
    return UnforeseenError.of(error, str(what))


@contextmanager
def guarded(what: str | Path) -> Iterator[None]:
    """Raise what nobody foresaw within as an UnforeseenError that names the file or the step."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DelineateError):
            raise
        raise UnforeseenError.of(error, str(what)) from error


def _in_words(error: Exception) -> tuple[str, str, str]:
    """Code, reason and remedy of an exception of another library."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "E-MEMORY", f"there is not enough memory. {text}".strip(), "Take a smaller part, or more memory."
    if isinstance(error, RecursionError):
        return "E-NESTED", "something is nested too deeply to be read.", "Look into the file, or write it again."
    if isinstance(error, OSError) and error.strerror:
        return "E-SYSTEM", _of_the_system(error), "Check that it is there, your rights, and the space that is left."
    kind = type(error).__name__
    return (
        "E-UNFORESEEN",
        f"this went wrong in a way that nobody foresaw ({kind}{': ' + text[:LONGEST] if text else ''}).",
        "Run it again with --debug to see where, and report it with what that prints.",
    )


def _of_the_system(error: OSError) -> str:
    named = "" if error.filename is None else f"{error.filename}: "
    return f"{named}{error.strerror}."


class DelineateWarning(UserWarning):
    """Something the person should know that belongs to no scan: how the program was called, or is set up."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should know although the work went on; told once and kept in the manifest."""

    code: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", message_text(self.message))

    def __str__(self) -> str:
        return self.message
