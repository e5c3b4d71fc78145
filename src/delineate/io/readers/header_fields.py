"""Numbers in the text of a header: as many as there have to be, finite and of a size that means something."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from delineate.core.errors import InputError
from delineate.core.terminal_text import excerpt

LARGEST: Final = 1e12  # beyond it no length in mm and no count of voxels lies


def numbers(path: Path, field: str, text: str, count: int | None = None, positive: bool = False) -> list[float]:
    """The numbers of a field, between white space or commas.

    count     how many there have to be; None: any
    positive  whether each has to be above 0

    Raises InputError, naming the field, its text and the file.
    """
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise unusable(path, field, text, _meant(count, positive)) from None
    if count is not None and len(values) != count:
        raise unusable(path, field, text, _meant(count, positive))
    if not all(math.isfinite(v) and abs(v) <= LARGEST and (v > 0 or not positive) for v in values):
        raise unusable(path, field, text, _meant(count, positive))
    return values


def whole_numbers(path: Path, field: str, text: str, count: int | None = None, least: int = 1) -> list[int]:
    """The whole numbers of a field, each at least ``least``. Raises InputError as ``numbers`` does."""
    meant = "a whole number" if count == 1 else f"{'' if count is None else f'{count} '}whole numbers"
    try:
        values = [int(word) for word in text.split()]
    except ValueError:
        raise unusable(path, field, text, meant) from None
    if not values or (count is not None and len(values) != count):
        raise unusable(path, field, text, meant)
    if not all(least <= v <= LARGEST for v in values):
        raise unusable(path, field, text, f"{meant} of at least {least}")
    return values


def unusable(path: Path, field: str, text: str, meant: str) -> InputError:
    """The error of a field whose text is not what is meant."""
    return InputError(
        "E-HEADER-FIELD",
        f'{path.name}: the header\'s field "{excerpt(field, 40)}" is "{excerpt(text)}", where {meant} is meant.',
        "Export the file again, or mend its header.",
    )


def _meant(count: int | None, positive: bool) -> str:
    kind = "positive number" if positive else "number"
    if count == 1:
        return f"a {kind}"
    return f"a list of {'' if count is None else f'{count} '}{kind}s"
