"""How good a candidate outline is expected to be, and how sure it is that the structure is there at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EVIDENCE = (
    "predicted_iou", "presence", "coarse", "shape", "intensities", "contrast", "placed", "agreement", "back",
)  # of a ``Candidate``  # fmt: skip
DICE, DICE_OFFSET = np.array([0.0, 0.25, 1.6, 0.4, 0.0, 0.0, 0.1, 3.0, 1.9]), -3.3
THERE, THERE_OFFSET = np.array([0.0, 0.0, 0.69, 0.0, 0.47, 0.67, 0.0, 1.15, 0.67]), 2.94
LEAST = 0.05  # of evidence that the structure is there


def quality(evidence: NDArray[np.float64]) -> float:
    """The Dice (0 to 1) that evidence (9,) lets expect: a logistic regression on pairs of labeled scans."""
    return _logistic(evidence @ DICE + DICE_OFFSET)


def certainty(evidence: NDArray[np.float64]) -> float:
    """That the structure is there (0 to 1), by evidence (9,): a logistic regression of its logarithm on made-up pairs.

    A product of powers: one thing that speaks against it is enough. Where nothing like the structure is, labels are
    carried to one place, templates fit another, and what is outlined has other gray values than on the support, or
    another contrast to what lies around. ``tools/presence.py`` prints the weights.
    """
    return _logistic(np.log(np.clip(evidence, LEAST, 1)) @ THERE + THERE_OFFSET)


def _logistic(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))
