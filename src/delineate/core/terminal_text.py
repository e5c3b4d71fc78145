"""Text for a terminal: names that cannot do anything there, and commands that can be copied as they stand."""

from __future__ import annotations

import shlex
import unicodedata
from math import floor, log10
from typing import Final

EXCERPT: Final = 80  # characters shown of a text from outside: a header's value, a name in a file
LONGEST_WORD: Final = 240  # characters of a message without a blank: a path, at most
LONGEST_LINE: Final = 480
MOST_LINES: Final = 40
_KEPT = "\n\t"
_ACTIVE = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of surrogate pairs, separators of lines
_DIRECTION = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # which way text runs


def printable(text: str) -> str:
    """``text`` with characters that a terminal would act on written out, such as ``\\x1b``; line ends stay."""
    return "".join(c if c in _KEPT or not is_active(c) else _escaped(c) for c in text)


def excerpt(text: object, most: int = EXCERPT) -> str:
    """What a file says, in one printable line of at most ``most`` characters."""
    said = text if isinstance(text, str) else str(text)
    beginning = "".join(_escaped(c) if is_active(c) else c for c in said[: most + 1])
    return beginning if len(said) <= most and len(beginning) <= most else beginning[: most - 2] + " …"


def counted(number: int, one: str, many: str = "") -> str:
    """How many there are: "1 file", "2 files". ``many`` is said where more changes than an s at the end."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def rounded(value: float, decimals: int) -> float:
    """A measured value to so many decimals; of small ones at least four digits are kept."""
    return round(value, decimals if value == 0 else max(decimals, 3 - floor(log10(abs(value)))))


def figure(value: float, decimals: int, sign: str = "") -> str:
    """A measured value as people read it: so many decimals, or two digits where these would all be 0 (``4.5e-10``).

    sign    "+" to show it of positive values too
    """
    return f"{value:{sign}.2g}" if 0 < abs(value) < 10**-decimals else f"{value:{sign}.{decimals}f}"


def volume_text(mm3: float) -> str:
    """A volume as people read it: ``12.11 ml``, or ``0.432 mm3`` where hundredths of a ml say nothing."""
    return f"{mm3 / 1000:.2f} ml" if mm3 >= 10 else f"{mm3:.3g} mm3"


def message_text(text: str) -> str:
    """A message that may repeat what files say, as people can read it: printable, no word or line without an end."""
    lines = text.split("\n")
    shown = [excerpt(_shorter_words(line), LONGEST_LINE) for line in lines[:MOST_LINES]]
    return "\n".join(shown + ([f"… and {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []))


def is_active(character: str) -> bool:
    """Whether a character does something instead of showing something."""
    return unicodedata.category(character) in _ACTIVE or ord(character) in _DIRECTION


def command(*words: object) -> str:
    """A command line to copy: every word quoted where a shell would read it otherwise."""
    return shlex.join(str(word) for word in words)


def _shorter_words(line: str) -> str:
    if len(line) <= LONGEST_WORD:
        return line
    return " ".join(word if len(word) <= LONGEST_WORD else f"{word[:EXCERPT]} …" for word in line.split(" "))


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
