"""How good a candidate outline is expected to be, from what speaks for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# of ``Candidate.evidence``, in its order
WEIGHTS = np.array([0.0, 0.25, 1.6, 0.4, 0.0, 0.0, 0.1, 3.0, 1.9])
OFFSET = -3.3


def quality(evidence: NDArray[np.float64]) -> float:
    """The Dice (0 to 1) that evidence (9,) lets expect: a logistic regression on pairs of labeled scans."""
    return float(1 / (1 + np.exp(-(evidence @ WEIGHTS + OFFSET))))
