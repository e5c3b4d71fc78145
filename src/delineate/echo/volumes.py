"""Volumes of the left ventricle and atrium from one or two long-axis views, and the ejection fraction.

Both ways are those of the ventricle for the atrium, too; its long axis goes from the annulus to the far wall.

Lang, Badano, Mor-Avi et al. Recommendations for Cardiac Chamber Quantification by Echocardiography in Adults (ASE and
EACVI). J Am Soc Echocardiogr 2015; 28: 1-39.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from delineate.core.errors import InputError
from delineate.echo.chamber import DISCS, Chamber

ML: Final = 1e-3  # of a mm3
LENGTHS_APART: Final = 0.2  # share by which the long axes of two good views differ at most


def simpson(one: Chamber, other: Chamber | None = None) -> float:
    """Volume by the method of 20 discs, ml of lengths in mm: pi / 4 sum a_i b_i L / 20, L the longer axis.

    With one view its discs are round (single plane).
    """
    other = one if other is None else other
    length = max(one.length, other.length)
    return ML * float(np.pi / 4 * (one.diameters * other.diameters).sum() * length / DISCS)


def area_length(one: Chamber, other: Chamber | None = None) -> float:
    """Volume by areas and length, ml of lengths in mm: 8 A1 A2 / (3 pi L), L the shorter axis."""
    other = one if other is None else other
    length = min(one.length, other.length)
    return ML * float(8 * one.area * other.area / (3 * np.pi * length))


def ejection_fraction(end_diastolic: float, end_systolic: float) -> float:
    """Percent of the end-diastolic volume that is ejected. Volumes may have any unit.

    Raises InputError where the first volume is not above 0.
    """
    if not end_diastolic > 0:
        raise InputError(
            "E-ECHO-EMPTY", "The end-diastolic volume is 0: there is no outline at end-diastole.",
            "Outline the left ventricle there, or say another frame: --ed FRAME",
        )  # fmt: skip
    return 100 * (end_diastolic - end_systolic) / end_diastolic


def lengths_differ(one: Chamber, other: Chamber) -> bool:
    """Whether two views of one heart have long axes so unlike that one of them is foreshortened."""
    return abs(one.length - other.length) > LENGTHS_APART * max(one.length, other.length)
