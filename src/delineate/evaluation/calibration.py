"""How right a predictor is about itself: the IoU it says an outline has, beside the one it has."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from delineate.predictors.second_opinion import OpinionMap

EDGES: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of what is said
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What a predictor said of its outlines, and what they reached.

    said, reached  means of the predicted and the true IoU
    error          expected calibration error: mean gap of the two in classes of what was said, weighted by count
    apart          mean distance of the two, structure by structure
    correlation    of the two (Pearson); nan where one of them never changes
    """

    count: int
    said: float
    reached: float
    error: float
    apart: float
    correlation: float

    @classmethod
    def of(cls, said: ArrayLike, reached: ArrayLike) -> Self:
        """From one number each a structure; of none nothing is known."""
        one, other = np.asarray(said, dtype=float), np.asarray(reached, dtype=float)
        if not len(one):
            return cls(0, *[float("nan")] * 5)
        gaps = 0.0
        classes = np.digitize(one, EDGES[1:-1])
        for number, _ in enumerate(pairwise(EDGES)):
            own = classes == number
            gaps += float(own.sum() * abs(one[own].mean() - other[own].mean())) if own.any() else 0.0
        varied = len(one) > 1 and one.std() > 0 and other.std() > 0
        return cls(
            len(one),
            float(one.mean()),
            float(other.mean()),
            gaps / len(one),
            float(np.abs(one - other).mean()),
            float(np.corrcoef(one, other)[0, 1]) if varied else float("nan"),
        )


@dataclass(frozen=True, eq=False)
class Opinions:
    """Outlines with what their model said of them, how far a second model agreed, and what they reached (N,)."""

    said: Values
    agreement: Values
    reached: Values
    datasets: NDArray[Any]

    def joined(self, other: Opinions) -> Opinions:
        """Both, one after the other."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("said", "agreement", "reached", "datasets"))
        return Opinions(*(np.concatenate(pair) for pair in pairs))

    @property
    def alone(self) -> Opinions:
        """The same as if no second model had been asked: what a new map of what was said gains by itself."""
        return Opinions(self.said, np.zeros_like(self.agreement), self.reached, self.datasets)

    def _taken(self, which: NDArray[np.bool_]) -> Opinions:
        return Opinions(self.said[which], self.agreement[which], self.reached[which], self.datasets[which])

    def fitted(self) -> OpinionMap:
        """Least squares from what was said and the agreement to the IoU; every data set weighs the same."""
        names, counts = np.unique(self.datasets, return_counts=True)
        weights = np.sqrt(1 / np.array([dict(zip(names, counts, strict=True))[name] for name in self.datasets]))
        columns = np.stack([np.ones_like(self.said), self.said, self.agreement], axis=1)
        found = np.linalg.lstsq(columns * weights[:, None], self.reached * weights, rcond=None)[0]
        intercept, said, agreement = (round(float(value), 4) for value in found)
        return OpinionMap(intercept=intercept, said=said, agreement=agreement)

    def left_out(self) -> Values:
        """What the map says of each outline, fitted on the data sets that it is not of."""
        mapped = np.empty_like(self.said)
        for name in np.unique(self.datasets):
            own = self.datasets == name
            fitted = self._taken(~own).fitted()
            mapped[own] = fitted.confidences(self.said[own], self.agreement[own])
        return mapped
