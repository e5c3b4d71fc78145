"""The network's own outlines go back in: with a click where they are wrong, or as what is known on the next frame.

As SAM trains (arXiv 2304.02643 app. A): a click falls into the error region, positive where something is missing and
negative where there is too much. Following from outlines that are its own, a network learns to live with its errors:
to let go of what has ended, and not to grow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delineate.preprocess.prompt_maps import CHANNELS, add_click, told_from
from delineate.training.prompt_simulation import Rng, correcting_click

KEEP_BOX = 0.5  # how often the box stays
LEAST_ERROR = 6  # pixels
LATER = (0, 1, 2, 8, 11)  # channels that are known of a next frame: colours, the frame before, relief


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


def followed(later: NDArray[np.float32], outline: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Maps (C, S, S) of the next frame, of which ``later`` (LATER, S, S) is known, from an outline on this one."""
    maps = np.zeros((CHANNELS, *outline.shape), np.float32)
    maps[list(LATER)] = later
    maps[9] = outline
    return told_from(maps)
