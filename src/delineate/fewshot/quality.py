"""How good a candidate outline is expected to be, from what speaks for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# of predicted IoU, presence, coarse, shape, intensities, contrast, placed, agreement: see ``candidates.Candidate``
WEIGHTS = np.array([0.3, 0.3, 2.0, 0.3, 0.3, 0.2, 0.3, 4.0])
OFFSET = -3.9


def quality(evidence: NDArray[np.float64]) -> float:
    """The Dice (0 to 1) that evidence (8,) lets expect: a logistic regression on labeled pairs."""
    return float(1 / (1 + np.exp(-(evidence @ WEIGHTS + OFFSET))))
