"""What a person draws on frames, as what predictors take: clicks along a line, the pixels within a closed one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import PromptError
from delineate.core.polygons import filled_polygon

SCRIBBLE_STEP = 4.0  # pixels between the clicks a scribble is turned into


def clicks_along(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points at most SCRIBBLE_STEP apart along a polyline (N, 3); where it crosses frames, one on each at least."""
    pieces = [corners[:1]]
    for start, end in pairwise(corners):
        steps = (np.linalg.norm((end - start)[:2]) / SCRIBBLE_STEP, abs(end[2] - start[2]))
        count = max(1, int(np.ceil(max(steps))))
        pieces.append(start + (end - start) * (np.arange(1, count + 1) / count)[:, None])
    line = np.concatenate(pieces)
    _, first = np.unique(np.rint(line), axis=0, return_index=True)  # a pixel is clicked once
    return line[np.sort(first)]


def pixels_within(corners: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """The pixels (height, width) within a lasso (N, 2). Raises PromptError where there are none."""
    try:
        mask = filled_polygon(corners, height, width)
    except ValueError as error:
        raise PromptError("E-LASSO-LONG", f"The lasso is {error}.", "Draw it with fewer corners.") from error
    if not mask.any():
        raise PromptError("E-LASSO-EMPTY", "The lasso holds no pixel's middle.", "Draw it round the structure.")
    return mask
