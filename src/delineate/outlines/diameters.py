"""Long and short axis of a structure on a slice, as radiologists measure lesions (RECIST 1.1, Eisenhauer et al. 2009).

The long axis is the longest straight line between two points of the outline of one connected part; the short axis is
the longest line at right angles to it, on the same slice. Outlines run through the middles of the faces between pixels
inside and outside, as those of pyradiomics do; lengths are taken in mm in the plane of the slice, so sheared and
anisotropic pixels are right. Parts are measured by their convex hulls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

from delineate.outlines.regions import components

Points = NDArray[np.float64]
_FACES = np.array([(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])


@dataclass(frozen=True)
class Diameters:
    """Of one slice, in mm.

    ends    the two ends of the long axis, in pixels (x, y) of the slice
    across  those of the short axis
    """

    long: float
    short: float
    ends: tuple[tuple[float, float], tuple[float, float]]
    across: tuple[tuple[float, float], tuple[float, float]]

    def moved(self, x: float, y: float) -> Diameters:
        """Of a mask that lies elsewhere."""
        (a, b), (c, d) = (tuple((u + x, v + y) for u, v in axis) for axis in (self.ends, self.across))
        return replace(self, ends=(a, b), across=(c, d))


def diameters(mask: NDArray[np.bool_], steps: NDArray[np.float64]) -> Diameters | None:
    """Long and short axis of a mask; None if it is empty.

    Parameters
    ----------
    mask
        Booleans (x, y).
    steps
        (3, 2): mm from a pixel to the next along x and along y.
    """
    labels, _ = components(mask)
    best: Diameters | None = None
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        size = [(one.stop - one.start) for one in box]
        reach = float(np.abs(steps @ np.array(size)).sum() + np.abs(steps @ np.array([size[0], -size[1]])).sum())
        if best is not None and reach <= best.long:
            continue
        corner = np.array([box[0].start, box[1].start])
        found = _of_part(labels[box] == number, corner, steps)
        if best is None or found.long > best.long:
            best = found
    return best


def _of_part(mask: NDArray[np.bool_], corner: NDArray[np.int64], steps: NDArray[np.float64]) -> Diameters:
    pixels = _border(mask) + corner
    points = (pixels[:, None] + _FACES).reshape(-1, 2)
    plane, _ = np.linalg.qr(steps)
    flat = points @ (plane.T @ steps).T  # mm in the plane of the slice
    hull = ConvexHull(flat).vertices
    around, places = flat[hull], points[hull]
    first, second = np.unravel_index(int(np.argmax(apart := squareform(pdist(around)))), apart.shape)
    along = (around[second] - around[first]) / apart[first, second]
    chord = _across(around, along)
    back = np.linalg.inv(plane.T @ steps)
    low, high = (_place(back @ end) for end in chord)
    ends = _place(places[first]), _place(places[second])
    return Diameters(float(apart[first, second]), float(np.linalg.norm(chord[1] - chord[0])), ends, (low, high))


def _place(point: Points) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _border(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pixels of the mask with a neighbor outside, (n, 2)."""
    padded = np.pad(mask, 1)
    inner = padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    return np.argwhere(mask & ~inner)


def _across(around: Points, along: NDArray[np.float64]) -> Points:
    """The ends of the longest chord of a convex polygon at right angles to a direction; one of them is a corner."""
    aside = np.array([-along[1], along[0]])
    t, h = around @ along, around @ aside
    first, second = np.stack([t, h]), np.stack([np.roll(t, -1), np.roll(h, -1)])  # of every edge
    low, high = np.minimum(first[0], second[0]), np.maximum(first[0], second[0])
    at = np.unique(t)[:, None]
    meets = (at >= low) & (at <= high) & (high > low)
    share = np.divide(at - first[0], second[0] - first[0], out=np.zeros((len(at), len(t))), where=meets)
    heights = first[1] + share * (second[1] - first[1])
    top = np.where(meets, heights, -np.inf).max(axis=1)
    bottom = np.where(meets, heights, np.inf).min(axis=1)
    widest = int(np.argmax(top - bottom))
    return at[widest] * along + np.array([[bottom[widest]], [top[widest]]]) * aside
