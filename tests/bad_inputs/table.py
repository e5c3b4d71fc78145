"""What a row of the table of bad inputs is: how to make the fault, and what the person should see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One fault.

    id       number and name of the row in the table of bad inputs, such as ``"54-box-outside"``
    run      makes the fault in an empty folder and does what a user would do; returns what that gave (usually a Scan)
    error    code of the DelineateError it must raise, or None
    notice   code of a notice that ``result.notices`` must hold, or None
    says     words the error or notice must contain
    check    further assertions on the result
    """

    id: str
    run: Callable[[Path], Any]
    error: str | None = None
    notice: str | None = None
    says: tuple[str, ...] = ()
    check: Callable[[Any], None] | None = None
