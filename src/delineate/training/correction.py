"""Rounds of correction: the network's own outline goes back in, with a click where it is wrong.

As SAM trains (arXiv 2304.02643 app. A): a click falls into the error region, positive where something is missing and
negative where there is too much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delineate.preprocess.prompt_maps import add_click, told_from
from delineate.training.prompt_simulation import Rng, correcting_click

KEEP_BOX = 0.5  # how often the box stays
LEAST_ERROR = 6  # pixels


def corrected(
    rng: Rng, maps: NDArray[np.float32], outlines: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Maps (B, C, S, S) of the next round: ``outlines`` (B, S, S) as the outline so far, a click for each error."""
    following = maps.copy()
    for one, outline, wanted in zip(following, outlines, truth, strict=True):
        if outline.any():
            one[7] = outline
        if rng.random() > KEEP_BOX and (outline.any() or one[5].any()):
            one[4] = 0
        if (outline ^ wanted).sum() >= LEAST_ERROR and (click := correcting_click(rng, outline, wanted)) is not None:
            points, labels = click
            add_click(one, points[0], bool(labels[0]))
        told_from(one)
    return following
