"""What went wrong, in which file, why, and what fixes it."""

from __future__ import annotations

from dataclasses import dataclass


class DelineateError(Exception):
    """An error a person can act on.

    code     stable identifier such as ``E-BOX-INVERTED``, searchable in the documentation
    message  what happened and to which file or prompt
    hint     the command or change that fixes it (may be empty)
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

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


class DelineateWarning(UserWarning):
    """Something the person should know that belongs to no scan: how the program was called, or is set up."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the person should know although the work went on; told once and kept in the manifest."""

    code: str
    message: str

    def __str__(self) -> str:
        return self.message
