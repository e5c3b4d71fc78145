"""One measured number as a column of tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One measured number.

    low      less is better
    of_case  a number of the whole case, which every structure of it repeats; means count it once
    at       where it is on a curve (clicks, severity), or None
    listed   whether tables show it, or only the curve
    worst    what a structure gets that a predictor failed on; None: 0, and where less is better, infinite
    """

    key: str
    title: str
    low: bool = False
    digits: int = 3
    of_case: bool = False
    at: float | None = None
    listed: bool = True
    worst: float | None = None

    @property
    def of_failure(self) -> float:
        """What a structure gets that a predictor failed on."""
        if self.worst is not None:
            return self.worst
        return float("inf") if self.low else 0.0
