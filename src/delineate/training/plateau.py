"""A rate that falls when the loss stalls (LiteMedSAM's: a tenth less after five measurements without a new least)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

FACTOR, PATIENCE = 0.9, 5
LESS = 1e-4  # share by which a loss must be below the least so far to count as less


@dataclass
class Plateau:
    """How far the rate has fallen, the least loss so far, and for how many measurements there was no less."""

    factor: float = 1.0
    least: float = math.inf
    stalled: int = 0

    def note(self, loss: float) -> None:
        """The mean loss since the last measurement."""
        if loss < self.least * (1 - LESS):
            self.least, self.stalled = loss, 0
            return
        self.stalled += 1
        if self.stalled > PATIENCE:
            self.factor, self.stalled = self.factor * FACTOR, 0

    def counts(self) -> dict[str, float]:
        """For a run's state."""
        least = {} if math.isinf(self.least) else {"plateau_least": self.least}
        return {"plateau_factor": self.factor, "plateau_stalled": self.stalled, **least}

    @classmethod
    def of(cls, counts: Mapping[str, float]) -> Plateau:
        """From a run's state."""
        factor, stalled = counts.get("plateau_factor", 1.0), int(counts.get("plateau_stalled", 0))
        return cls(factor, counts.get("plateau_least", math.inf), stalled)
