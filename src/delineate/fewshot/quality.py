"""How good a candidate outline is expected to be, and how sure it is that the structure is there at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EVIDENCE = (
    "predicted_iou", "presence", "coarse", "shape", "intensities", "contrast", "placed", "agreement", "back",
)  # of a ``Candidate``  # fmt: skip
DICE, DICE_OFFSET = np.array([0.0, 0.25, 1.6, 0.4, 0.0, 0.0, 0.1, 3.0, 1.9]), -3.3
THERE, THERE_OFFSET = np.array([0.0, 0.0, 1.4, 0.0, 0.0, 2.35, 0.0, 2.65, 2.3]), -4.45


def quality(evidence: NDArray[np.float64]) -> float:
    """The Dice (0 to 1) that evidence (9,) lets expect: a logistic regression on pairs of labeled scans."""
    return _logistic(evidence @ DICE + DICE_OFFSET)


def certainty(evidence: NDArray[np.float64]) -> float:
    """That the structure is there (0 to 1), by evidence (9,): the same on made-up pairs (``tools/presence.py``).

    Where nothing like the structure is, labels are carried to one place, templates fit another, and the contrast to
    what lies around is not that of the support.
    """
    return _logistic(evidence @ THERE + THERE_OFFSET)


def _logistic(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))
