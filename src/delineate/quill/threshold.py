"""Where to cut probabilities into an outline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delineate.preprocess.crop import Array

BINS = 50  # between the least cut and a half
LEAST = 0.2  # probability below which nothing is ever inside


def dice_cut(logits: Array) -> NDArray[np.float32]:
    """The logit at which each of K maps (K, H, W) is best cut: (K,), at most 0.

    Pixels above a cut make an outline whose Dice can be expected from the probabilities themselves; the cut with the
    greatest one is at half of it (Lipton et al., arXiv 1402.1892, theorem 1). Sure outlines are cut at a probability
    of a half; faint ones, such as thin vessels, lower, where a half would leave most of them out.
    """
    chance = 1 / (1 + np.exp(-logits.reshape(len(logits), -1)))
    places = np.clip((chance - LEAST) * (BINS / (0.5 - LEAST)), -1, BINS).astype(np.intp) + 1
    cuts = np.empty(len(logits), np.float32)
    for n, (values, bins) in enumerate(zip(chance, places, strict=True)):
        count = np.bincount(bins, minlength=BINS + 2)[::-1].cumsum()[::-1]
        inside = np.bincount(bins, values, BINS + 2)[::-1].cumsum()[::-1]
        expected = 2 * inside[1:] / (count[1:] + inside[0] + 1e-6)
        best = LEAST + (0.5 - LEAST) * int(np.flatnonzero(expected >= expected.max() - 1e-9)[-1]) / BINS
        cuts[n] = np.log(best / (1 - best))
    return cuts
