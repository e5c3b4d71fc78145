"""How a structure is cleaned: what a person may choose, recorded so that a session replays it."""

from __future__ import annotations

from math import isfinite
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from delineate.core.errors import InputError

AMOUNTS: Final = ("islands", "smooth", "shrink", "grow")
OPPOSITES: Final = {"grow": " To make it smaller: --shrink.", "shrink": " To make it larger: --grow."}


class CleanSteps(BaseModel):
    """What is done to each structure, in this order; what is left at its default is not done.

    Lengths are pixels where no mm are known. Raises InputError for what is not above 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    largest: bool = Field(default=False, description="The largest connected part alone.")
    islands: float | None = Field(
        default=None,
        description="Parts smaller than this are removed: ml of a volume, cm2 of an image, pixels without mm.",
    )
    holes: bool = Field(default=False, description="What is enclosed on all sides is filled.")
    holes_in_slices: bool = Field(default=False, description="What is enclosed within a slice is filled.")
    smooth: float | None = Field(default=None, description="Deviation of a Gaussian, mm; the volume stays.")
    shrink: float | None = Field(default=None, description="mm; with grow, shrink first: removes thin bridges.")
    grow: float | None = Field(default=None, description="mm, never into other structures.")
    inside: str | None = Field(default=None, description="Only what lies in this other structure stays.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in AMOUNTS:
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                text = f"--{name} {value:g} is not above 0."
                raise InputError("E-CLEAN-AMOUNT", text, f"Give a size above 0.{OPPOSITES.get(name, '')}")
        return self

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is to be done."""
        return self == CleanSteps()
