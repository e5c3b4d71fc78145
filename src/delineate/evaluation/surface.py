"""How far two outlines are apart: surfaces in true millimeters, normalized surface Dice, robust Hausdorff distance.

The surface of a mask runs between pixel centers: every cell of 2 x 2 (2 x 2 x 2) neighboring pixels that are not all
alike holds a piece of it. A piece has a length (an area) that depends on the spacing, and a distance to the nearest
piece of the other surface. All measures weigh pieces by that size, so that they do not depend on how the grid happens
to cut the surface (Nikolov et al. 2021, doi 10.2196/26151, the definition most challenges use).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

Mask = NDArray[np.bool_]
Corner = tuple[int, ...]

# The triangles of the surface within a cell of 2 x 2 x 2 voxels: for each of the 14 ways to fill the corners that
# differ by more than turning, mirroring or swapping inside and outside, the triangles' areas seen along the three
# axes, in eighths of a cell face. Bit 7 of the number is corner (0, 0, 0), bit 0 is corner (1, 1, 1).
_TRIANGLES: dict[int, tuple[Corner, ...]] = {
    0b00000000: (),
    0b00000001: ((1, 1, 1),),
    0b00000011: ((2, 2, 0), (2, 2, 0)),
    0b00000110: ((1, 1, 1), (1, 1, 1)),
    0b00000111: ((4, 0, 0), (2, 2, 2), (1, 1, 1)),
    0b00001111: ((4, 0, 0), (4, 0, 0)),
    0b00010110: ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    0b00010111: ((1, 1, 1), (2, 2, 2), (2, 2, 2), (1, 1, 1)),
    0b00011000: ((1, 1, 1), (1, 1, 1)),
    0b00011001: ((0, 2, 2), (0, 2, 2), (1, 1, 1)),
    0b00011011: ((1, 1, 1), (3, 3, 3), (0, 2, 2), (2, 0, 2)),
    0b00011110: ((4, 0, 0), (1, 1, 1), (2, 2, 2), (1, 1, 1)),
    0b00111100: ((2, 2, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0)),
    0b01101001: ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
}


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Every piece of two surfaces: how far it is from the other surface (mm), and its size (mm, or mm2 in 3D)."""

    truth_to_predicted: NDArray[np.float64]
    truth_sizes: NDArray[np.float64]
    predicted_to_truth: NDArray[np.float64]
    predicted_sizes: NDArray[np.float64]

    @classmethod
    def between(cls, truth: Mask, predicted: Mask, spacing: tuple[float, ...]) -> SurfaceDistances:
        """Distances between the surfaces of two masks of 2 or 3 axes; spacing in mm along the same axes.

        A surface that does not exist is infinitely far away. Raises ValueError for masks that do not belong together,
        and for spacings that are not above 0.
        """
        truth, predicted = mask_pair(truth, predicted)
        if truth.ndim != len(spacing) or truth.ndim not in (2, 3):
            raise ValueError(f"Masks of {truth.shape} with {len(spacing)} spacings.")
        if not all(np.isfinite(step) and step > 0 for step in spacing):
            raise ValueError(f"A spacing is above 0, not {spacing}.")
        box = _joint_box(truth | predicted)
        sizes = piece_sizes(spacing)
        codes = [_cell_codes(np.pad(mask[box], 1)) for mask in (truth, predicted)]
        surfaces = [(code > 0) & (code < len(sizes) - 1) for code in codes]
        away = [_distance_to(surface, spacing) for surface in surfaces]
        return cls(
            away[1][surfaces[0]], sizes[codes[0][surfaces[0]]], away[0][surfaces[1]], sizes[codes[1][surfaces[1]]]
        )

    def within(self, tolerance: float) -> float:
        """Share of both surfaces that lies within ``tolerance`` mm of the other one (NSD); nan without any surface.

        Raises ValueError for a tolerance below 0.
        """
        if not tolerance >= 0:
            raise ValueError(f"A tolerance is at least 0, not {tolerance}.")
        total = self.truth_sizes.sum() + self.predicted_sizes.sum()
        near = self.truth_sizes[self.truth_to_predicted <= tolerance].sum()
        near += self.predicted_sizes[self.predicted_to_truth <= tolerance].sum()
        return float(near / total) if total else float("nan")

    def mean(self) -> float:
        """The mean distance, mm, of either surface from the other one (ASSD); infinite without one, nan without any."""
        total = self.truth_sizes.sum() + self.predicted_sizes.sum()
        if not total:
            return float("nan")
        summed = (self.truth_to_predicted * self.truth_sizes).sum()
        return float((summed + (self.predicted_to_truth * self.predicted_sizes).sum()) / total)

    @classmethod
    def joined(cls, parts: Sequence[SurfaceDistances]) -> SurfaceDistances:
        """All pieces of several, such as the frames of a video."""
        names = ("truth_to_predicted", "truth_sizes", "predicted_to_truth", "predicted_sizes")
        return cls(*(np.concatenate([np.empty(0), *(getattr(one, name) for one in parts)]) for name in names))

    def hausdorff(self, share: float = 0.95) -> float:
        """The distance, mm, that ``share`` of either surface stays within (HD95); infinite without one."""
        return max(
            _weighted_quantile(self.truth_to_predicted, self.truth_sizes, share),
            _weighted_quantile(self.predicted_to_truth, self.predicted_sizes, share),
        )


def mask_pair(truth: NDArray[Any], predicted: NDArray[Any]) -> tuple[Mask, Mask]:
    """Two masks as booleans: what is not 0 is inside, whatever the type of the numbers.

    Raises ValueError for different shapes, which would be stretched to fit, and for numbers that are not finite.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(f"Masks of different shapes: {truth.shape} and {predicted.shape}.")
    for mask in (truth, predicted):
        if mask.dtype.kind not in "buif":
            raise ValueError(f"A mask of {mask.dtype} is none.")
        if mask.dtype.kind == "f" and not np.isfinite(mask).all():
            raise ValueError("A mask holds NaN or infinite values: say what they are first.")
    return truth != 0, predicted != 0


@lru_cache(maxsize=64)
def piece_sizes(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Size of the surface piece in a cell, mm or mm2, for each of the 16 or 256 ways its corners can be filled."""
    sizes = _lengths(*spacing) if len(spacing) == 2 else _areas(spacing)
    sizes.flags.writeable = False
    return sizes


def _lengths(row: float, column: float) -> NDArray[np.float64]:
    """Contour length in a cell of 2 x 2 pixels; bit 3 is corner (0, 0), bit 0 is corner (1, 1)."""
    diagonal = 0.5 * float(np.hypot(row, column))
    sizes = np.full(16, diagonal)  # one corner differs from the others
    sizes[[0b0000, 0b1111]] = 0
    sizes[[0b0011, 0b1100]] = column
    sizes[[0b0101, 0b1010]] = row
    sizes[[0b0110, 0b1001]] = 2 * diagonal
    return sizes


def _areas(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Surface area in a cell of 2 x 2 x 2 voxels, spread from the 14 base cases by symmetry."""
    face = np.prod(spacing) / np.array(spacing) / 8
    sizes = np.zeros(256)
    for base, triangles in _TRIANGLES.items():
        filled = [(bit >> 2 & 1, bit >> 1 & 1, bit & 1) for bit in range(8) if base >> (7 - bit) & 1]
        for axes in permutations(range(3)):
            turned = np.array(triangles, dtype=float).reshape(-1, 3)[:, axes]
            size = float(np.linalg.norm(turned * face, axis=1).sum())
            for flips in product((0, 1), repeat=3):
                corners = [tuple(corner[a] ^ flip for a, flip in zip(axes, flips, strict=True)) for corner in filled]
                code = sum(1 << (7 - (4 * i + 2 * j + k)) for i, j, k in corners)
                sizes[[code, 255 - code]] = size
    return sizes


def _joint_box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box around everything set."""
    if not mask.any():
        return tuple(slice(0, 0) for _ in mask.shape)
    lines = [mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)) for axis in range(mask.ndim)]
    spans = [np.flatnonzero(line)[[0, -1]] for line in lines]
    return tuple(slice(int(first), int(last) + 1) for first, last in spans)


def _cell_codes(mask: Mask) -> NDArray[np.uint8]:
    """For every cell of neighboring pixels the number its filled corners make; one shorter than the mask an axis."""
    codes = np.zeros(tuple(n - 1 for n in mask.shape), dtype=np.uint8)
    for corner in product((0, 1), repeat=mask.ndim):
        cut = tuple(slice(c, c + n) for c, n in zip(corner, codes.shape, strict=True))
        codes = codes << 1 | mask[cut]
    return codes


def _distance_to(surface: Mask, spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Distance, mm, of every cell from the nearest cell of a surface."""
    if not surface.any():
        return np.full(surface.shape, np.inf)
    return np.asarray(distance_transform_edt(~surface, sampling=spacing))


def _weighted_quantile(distances: NDArray[np.float64], sizes: NDArray[np.float64], share: float) -> float:
    if not len(distances):
        return float("inf")
    order = np.argsort(distances)
    reached = np.cumsum(sizes[order]) / sizes.sum()
    return float(distances[order][min(int(np.searchsorted(reached, share)), len(order) - 1)])
