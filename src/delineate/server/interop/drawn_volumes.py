"""Scribbles and lassos that another program drew as masks in a volume, as prompts on the frames they cross."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from delineate.core.prompts import Lasso, Mask, Point, Prompt
from delineate.core.scan import Scan

MOST_POINTS = 8  # of a scribble, on one frame


def frames_of(drawn: NDArray[np.bool_], scan: Scan) -> dict[int, NDArray[np.bool_]]:
    """What is drawn on each frame.

    drawn  bool (i, j, k), as the scan's grid; the frames come as (height, width)
    """
    rows, columns = scan.frame_axes[1], scan.frame_axes[0]
    stacked = np.transpose(drawn, (scan.slice_axis, rows, columns))
    return {int(index): stacked[index] for index in np.flatnonzero(stacked.any(axis=(1, 2)))}


def scribbled(drawn: NDArray[np.bool_], scan: Scan, positive: bool) -> dict[int, list[Prompt]]:
    """At most eight points on each frame, far from each other; a scribble across the frames becomes points on each."""
    return {
        frame: [Point(float(x), float(y), frame=frame, positive=positive) for y, x in _spread(mask)]
        for frame, mask in frames_of(drawn, scan).items()
    }


def outlined(drawn: NDArray[np.bool_], scan: Scan) -> dict[int, list[Prompt]]:
    """The outline on each frame, as a mask that a person drew."""
    return {frame: [Mask.from_array(mask, frame)] for frame, mask in frames_of(drawn, scan).items()}


def lassoed(drawn: NDArray[np.bool_], scan: Scan) -> dict[int, list[Prompt]]:
    """A lasso on each frame: the corners of the box round what is drawn there, and its outermost points."""
    return {frame: [Lasso(points=_hull(mask), frame=frame)] for frame, mask in frames_of(drawn, scan).items()}


def _spread(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pixels (n, 2) as y, x that are far from each other: each next one is the farthest from those before."""
    pixels = np.argwhere(mask)
    middle = np.argmin(((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1))
    chosen = [int(middle)]
    distance = ((pixels - pixels[middle]) ** 2).sum(axis=1)
    while len(chosen) < min(MOST_POINTS, len(pixels)) and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((pixels - pixels[chosen[-1]]) ** 2).sum(axis=1))
    return pixels[chosen]


def _hull(mask: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    """Corners x, y of the convex hull of the pixels' squares."""
    from scipy.spatial import ConvexHull

    pixels = np.argwhere(mask)[:, ::-1].astype(float)
    corners = np.concatenate([pixels + offset for offset in ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5))])
    return tuple((float(x), float(y)) for x, y in corners[ConvexHull(corners).vertices])
