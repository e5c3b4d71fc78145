"""Cases of a data set that cannot be read: told, and left out, so that one bad file stops no training."""

from __future__ import annotations

import warnings

from delineate.core.errors import DelineateWarning, foreseen
from delineate.data.cases import Case


def leave_out(case: Case, error: Exception) -> None:
    """Say, as a DelineateWarning, that training goes on without a case, and why."""
    text = f"{case.id} cannot be read and is left out: {foreseen(error, case.id).message}"
    warnings.warn(text, DelineateWarning, stacklevel=3)
