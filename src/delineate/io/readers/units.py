"""The unit of length that a header states, in millimeters."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from delineate.core.errors import InputError, Notice
from delineate.core.terminal_text import excerpt

_MILLIMETRES: Final = {
    "mm": 1.0, "millimeter": 1.0, "millimetre": 1.0, "m": 1e3, "meter": 1e3, "metre": 1e3, "cm": 10.0,
    "centimeter": 10.0, "centimetre": 10.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "micrometer": 1e-3,
    "micrometre": 1e-3, "nm": 1e-6, "nanometer": 1e-6, "nanometre": 1e-6, "inch": 25.4, "in": 25.4,
}  # fmt: skip


def millimeters(path: Path, unit: str) -> float:
    """How long one of a unit is, in mm. Raises InputError for a unit of no length that is known."""
    word = unit.strip().strip('"').strip().lower()
    known = _MILLIMETRES.get(word) or _MILLIMETRES.get(word.removesuffix("s"))
    if known is None:
        raise InputError(
            "E-UNIT",
            f'{path.name} gives lengths in "{excerpt(unit)}", a unit that is not known.',
            "Write them in mm: change the header of the file.",
        )
    return known


def unit_notice(unit: str) -> Notice:
    """That lengths were turned into millimeters."""
    return Notice("W-UNITS", f"The header gives lengths in {excerpt(unit, 20)}; they are told in mm here.")
