"""Text for a terminal: names that cannot do anything there, and commands that can be copied as they stand."""

from __future__ import annotations

import shlex
import unicodedata

_KEPT = "\n\t"
_ACTIVE = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of surrogate pairs, separators of lines
_DIRECTION = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # which way text runs


def printable(text: str) -> str:
    """``text`` with characters that a terminal would act on written out, such as ``\\x1b``; line ends stay."""
    return "".join(c if c in _KEPT or not is_active(c) else _escaped(c) for c in text)


def is_active(character: str) -> bool:
    """Whether a character does something instead of showing something."""
    return unicodedata.category(character) in _ACTIVE or ord(character) in _DIRECTION


def command(*words: object) -> str:
    """A command line to copy: every word quoted where a shell would read it otherwise."""
    return shlex.join(str(word) for word in words)


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
