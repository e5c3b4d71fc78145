"""What a data set says of a clip of the heart: whose it is, which view, which frames, and the numbers experts gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class View(StrEnum):
    """Standard views of transthoracic echocardiography."""

    A2C = "A2C"  # apical two-chamber
    A4C = "A4C"  # apical four-chamber
    A3C = "A3C"  # apical long axis
    PSAX = "PSAX"  # parasternal short axis
    PLAX = "PLAX"  # parasternal long axis
    UNKNOWN = ""

    @property
    def is_long_axis(self) -> bool:
        """Whether the whole length of the left ventricle is seen, so that its volume can be told."""
        return self in (View.A2C, View.A4C, View.A3C, View.UNKNOWN)


_WRITTEN = {"2CH": View.A2C, "4CH": View.A4C, "3CH": View.A3C, "AP2": View.A2C, "AP4": View.A4C, "AP3": View.A3C}


def view_named(text: str) -> View:
    """A view as people write it (A4C, 4CH, ap4, PSAX); UNKNOWN for other words."""
    word = text.strip().upper()
    found = _WRITTEN.get(word) or next((view for view in View if view and view == word), None)
    return found or View.UNKNOWN


@dataclass(frozen=True)
class EchoRecord:
    """What is known of a clip.

    diastole, systole  frames of the scan; None: not said
    reported           what the data set's table says of the patient: "ef" in %, "edv" and "esv" in ml
    """

    view: View
    diastole: int | None = None
    systole: int | None = None
    reported: Mapping[str, float] = field(default_factory=dict)


LEFT_VENTRICLE, MYOCARDIUM, LEFT_ATRIUM = "left ventricle", "myocardium", "left atrium"
_SYNONYMS = {
    LEFT_VENTRICLE: (
        "left ventricle", "lv", "lv endocardium", "lv cavity", "left ventricular cavity", "left ventricle cavity",
        "lv endo", "lvendo", "left ventricular endocardium", "left ventricle endocardium",
    ),
    MYOCARDIUM: ("myocardium", "myo", "lv myocardium", "left ventricular myocardium", "lv epi", "epicardium"),
    LEFT_ATRIUM: ("left atrium", "la"),
}  # fmt: skip


def structure_meant(name: str) -> str | None:
    """LEFT_VENTRICLE, MYOCARDIUM or LEFT_ATRIUM, as people call them; None for other structures."""
    words = " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
    return next((known for known, names in _SYNONYMS.items() if words in names), None)
