"""What a person drew in RAS millimeters, as prompts of the server."""

from __future__ import annotations

from typing import Any

import numpy as np

from .geometry import to_ijk

MOST_POINTS = 8  # of a line, on one slice
ROUNDING = 1e-6  # voxels
THIN = 1.0  # voxels: a box that is no thicker is drawn on one slice


def point(ras: Any, positive: bool = True) -> dict[str, Any]:
    """A click."""
    return {"type": "point", "at": [float(v) for v in ras], "space": "RAS", "positive": bool(positive)}


def line(ras: Any, grid: Grid, positive: bool = True) -> list[dict[str, Any]]:
    """A freehand line: a scribble where it lies on one slice, else points that are far from each other on each."""
    corners = np.atleast_2d(np.asarray(ras, float))
    slices = grid.slices_of(corners)
    if len(set(slices)) == 1:
        return [{"type": "scribble", "points": corners.tolist(), "space": "RAS", "positive": bool(positive)}]
    found: list[dict[str, Any]] = []
    for index in sorted(set(slices)):
        found += [point(corner, positive) for corner in _spread(corners[slices == index])]
    return found


def loop(ras: Any, grid: Grid) -> list[dict[str, Any]]:
    """A closed line round the structure. Raises ValueError where it is not drawn on one slice."""
    corners = np.atleast_2d(np.asarray(ras, float))
    if len(corners) < 3:
        raise ValueError("A loop needs three points: draw on.")
    if len(set(grid.slices_of(corners))) > 1:
        raise ValueError(f"The loop crosses several slices: draw it in the {grid.slice_name} view.")
    return [{"type": "lasso", "points": corners.tolist(), "space": "RAS"}]


def box(ras: Any, grid: Grid) -> list[dict[str, Any]]:
    """The box that holds corners in RAS (of a ROI, 8 of them); a thin one is drawn on its slice."""
    low, high = grid.box_of(np.atleast_2d(np.asarray(ras, float)))
    axis = grid.slice_axis
    if high[axis] - low[axis] <= 1:
        across = [n for n in range(3) if n != axis]
        corners = [low[n] for n in across] + [high[n] for n in across]
        return [{"type": "box", "corners": [int(v) for v in corners], "frame": int(low[axis])}]
    return [{"type": "box", "corners": [int(v) for v in (*low, *high)]}]


class Grid:
    """The server's slices of a volume.

    shape       voxels (i, j, k)
    ijk_to_ras  (4, 4)
    slice_axis  0, 1 or 2: the axis slices are taken along
    """

    def __init__(self, shape: Any, ijk_to_ras: Any, slice_axis: int) -> None:
        self.shape = np.asarray(shape, int)
        self.ijk_to_ras = np.asarray(ijk_to_ras, float)
        self.slice_axis = int(slice_axis)

    @property
    def slice_name(self) -> str:
        """The view in which a slice lies flat."""
        across = int(np.argmax(np.abs(self.ijk_to_ras[:3, self.slice_axis])))
        return ("sagittal", "coronal", "axial")[across]

    def slices_of(self, ras: Any) -> np.ndarray:
        """The slice each point lies on."""
        return np.rint(to_ijk(ras, self.ijk_to_ras)[:, self.slice_axis]).astype(int)

    def box_of(self, ras: Any) -> tuple[np.ndarray, np.ndarray]:
        """Half-open box of the voxels whose centers lie between points, within the volume.

        Raises ValueError where it lies outside.
        """
        ijk = to_ijk(ras, self.ijk_to_ras)
        ends = np.stack([ijk.min(axis=0), ijk.max(axis=0)])
        thin = ends[1] - ends[0] <= THIN
        low = np.where(thin, np.rint(ends.mean(axis=0)), np.ceil(ends[0] - ROUNDING)).astype(int)
        high = np.where(thin, low, np.floor(ends[1] + ROUNDING)).astype(int) + 1
        if (high <= 0).any() or (low >= self.shape).any():
            raise ValueError("The box lies outside the volume: move it onto the structure.")
        low = np.clip(low, 0, self.shape - 1)
        return low, np.clip(high, low + 1, self.shape)


def _spread(points: np.ndarray) -> np.ndarray:
    """At most eight of the points, from one end of the line to the other."""
    if len(points) <= MOST_POINTS:
        return points
    return points[np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)]
