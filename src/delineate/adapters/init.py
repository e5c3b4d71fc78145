"""How the parts that papers insert begin: changing nothing, or as the papers' code has them."""

from __future__ import annotations

from enum import StrEnum

from torch import nn


class Init(StrEnum):
    IDENTITY = "identity"  # the last layer is zero: the host answers as before
    REFERENCE = "reference"  # torch's own random weights, as the released codes


def begun(last: nn.Module, init: Init) -> None:
    """Zero a part's last layer where the part is to change nothing at first."""
    if init is Init.IDENTITY:
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
