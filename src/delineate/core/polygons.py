"""Polygons drawn as masks, exactly: a pixel is in where its middle is."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_CROSSINGS: Final = 50_000_000  # of edges with rows: what a polygon of a picture's size can have, many times over
_AT_ONCE: Final = 1 << 20


def filled_polygon(corners: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """The inside of a closed polygon (N, 2) of x, y as a mask (height, width).

    Pixel middles lie at whole numbers. A place is inside where a ray from it crosses the outline an odd number of
    times (even-odd rule); of middles on the outline, those on its left and upper edges are in, so that polygons that
    share an edge share no pixel.

    Raises ValueError for a polygon of far too many edges.
    """
    x0, y0 = corners.T
    x1, y1 = np.roll(corners, -1, axis=0).T
    first = np.clip(np.ceil(np.minimum(y0, y1)), 0, height).astype(np.int64)  # rows that an edge crosses: first ..
    stop = np.clip(np.ceil(np.maximum(y0, y1)), 0, height).astype(np.int64)  # .. to stop, excluded
    counts = stop - first
    if int(counts.sum()) > MOST_CROSSINGS:
        raise ValueError("a polygon of far too many edges")
    crossed = np.zeros((height, width + 1), dtype=np.uint8)
    cuts = np.searchsorted(np.cumsum(counts), np.arange(0, int(counts.sum()) + _AT_ONCE, _AT_ONCE), side="left")
    for low, high in pairwise([0, *cuts[1:].tolist(), len(counts)]):
        edges = np.repeat(np.arange(low, high), counts[low:high])
        if not len(edges):
            continue
        within = np.arange(len(edges)) - np.repeat(np.cumsum(counts[low:high]) - counts[low:high], counts[low:high])
        rows = first[edges] + within
        at = x0[edges] + (rows - y0[edges]) * ((x1 - x0)[edges] / (y1 - y0)[edges])
        columns = np.clip(np.ceil(at), 0, width).astype(np.int64)
        np.add.at(crossed, (rows, columns), 1)
    return np.cumsum(crossed, axis=1, dtype=np.uint8)[:, :width] % 2 == 1
