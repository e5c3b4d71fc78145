"""The network's own outlines go back in: with clicks where they are wrong, or as what is known on the next frame.

As SAM trains (arXiv 2304.02643 app. A): a click falls into the error region, positive where something is missing and
negative where there is too much; now and then several errors are clicked at once. Following from outlines that are its
own, a network learns to live with its errors: to let go of what has ended, and not to grow.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.preprocess.prompt_maps import CHANNELS, Examples, add_click, told_from
from delineate.training.prompt_simulation import Rng, correcting_click

KEEP_BOX = 0.5  # how often the box stays
LEAST_ERROR = 6  # pixels
SEVERAL, MOST_CLICKS = 0.35, 5  # how often several errors are clicked, and how many
LATER = (0, 1, 2, 8, 11)  # channels that are known of a next frame: colours, the frame before, relief


def corrected(
    rng: Rng, maps: NDArray[np.float32], outlines: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Maps (B, C, S, S) of the next round: ``outlines`` (B, S, S) as the outlines so far, clicks on their errors."""
    following = maps.copy()
    for one, outline, wanted in zip(following, outlines, truth, strict=True):
        if outline.any():
            one[7] = outline
        if rng.random() > KEEP_BOX and (outline.any() or one[5].any()):
            one[4] = 0
        for place, positive in _clicks(rng, outline, wanted):
            add_click(one, place, positive)
        told_from(one)
    return following


def _clicks(
    rng: Rng, outline: NDArray[np.bool_], wanted: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.float64], bool]]:
    """Clicks on the largest errors, one after the other, until what is left is small."""
    left = outline ^ wanted
    for _ in range(int(rng.integers(2, MOST_CLICKS + 1)) if rng.random() < SEVERAL else 1):
        click = correcting_click(rng, wanted ^ left, wanted) if left.sum() >= LEAST_ERROR else None
        if click is None:
            return
        place, positive = click[0][0], bool(click[1][0])
        yield place, positive
        parts, _ = ndimage.label(left)
        left &= parts != parts[int(place[1]), int(place[0])]


def followed(
    later: NDArray[np.float32], outline: NDArray[np.bool_], pointed: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Maps (C, S, S) of the next frame, of which ``later`` (LATER, S, S) is known, from an outline on this one.

    pointed  (2, s, s) grey values and outline of the frame the structure was pointed at
    """
    maps = np.zeros((CHANNELS, *outline.shape), np.float32)
    maps[list(LATER)] = later
    maps[9] = outline
    return told_from(maps, Examples(pointed[0], pointed[1]))
