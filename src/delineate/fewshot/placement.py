"""Where on a target the structure of a support lies, and how large it is there: its features matched as a template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.fewshot.descriptors import Descriptors
from delineate.fewshot.feature_map import Array

SCALES = (0.7, 0.84, 1.0, 1.19, 1.41)
CHANNELS = 24  # principal components that are correlated
INTENSITY_WEIGHT = 2.0  # against features, both centered
RING = 0.5  # of the structure's extent around it, that the template holds too
LABEL_WEIGHT = 1.5  # of the transferred probability inside less that around, against likeness
PLACE_COST = 0.1  # of one standard deviation, in units of likeness
SCALE_SPREAD = 0.5  # standard deviation of the logarithm of the scale


@dataclass(frozen=True)
class Placement:
    """A support's structure enlarged by ``scale`` around its center, with the center moved.

    center  (y, x) of the structure on the support, in shares of the frame
    moved   (y, x) of it on the target, in shares of that
    score   mean likeness of the template's cells there, less what the place and the scale cost
    """

    scale: float
    center: tuple[float, float]
    moved: tuple[float, float]
    score: float = 0.0


def placements(
    target: Descriptors,
    support: Descriptors,
    mask: Array,
    probability: Array,
    spread: float,
    count: int = 3,
    scales: Sequence[float] = SCALES,
) -> list[Placement]:
    """The best places of a structure, apart from one another, best first; of several the last is where it was.

    mask         (n, n), the share of each cell the structure covers on the support
    probability  (n, n), of the structure on the target, as labels alone say
    spread       standard deviation of how far it may have moved, in shares of the frame
    """
    cells = target.cells
    one, other = _reduced(support, target)
    inside, ring = _template(mask)
    center = ndimage.center_of_mass(mask)
    offsets = (np.arange(2 * cells) + cells) % (2 * cells) - cells  # of a circular correlation
    cost = (offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * (spread * cells) ** 2)
    looked_for = np.concatenate([0.5 * (inside + ring) * one, LABEL_WEIGHT * (inside - ring)[None]])
    spectrum = np.fft.rfft2(np.concatenate([other, probability[None]]), (2 * cells, 2 * cells))
    surfaces = []
    for scale in scales:
        template = np.stack([_zoomed(channel, scale, center) for channel in looked_for]) / np.float32(scale**2)
        raw = np.fft.irfft2((np.conj(np.fft.rfft2(template, (2 * cells, 2 * cells))) * spectrum).sum(axis=0))
        surfaces.append(raw - PLACE_COST * (cost + np.log(scale) ** 2 / (2 * SCALE_SPREAD**2)))
    best = _peaks(np.stack(surfaces), offsets, scales, center, cells, max(2.0, 0.3 * np.sqrt(mask.sum())), count)
    if count == 1:
        return best
    here = (center[0] + 0.5) / cells, (center[1] + 0.5) / cells
    unmoved = Placement(1.0, here, here, float(surfaces[list(scales).index(1.0)][0, 0]))
    return [*best[: count - 1], unmoved]


def warped(
    values: NDArray[Any], placement: Placement, size: tuple[int, int], order: int = 1, outside: float | None = None
) -> NDArray[Any]:
    """A support's frame or mask (height, width[, channels]) as it would lie on a target of ``size`` (height, width).

    outside  value beyond the support; None repeats its edge
    """
    shape = np.array(values.shape[:2], float)
    step = shape / np.array(size) / placement.scale
    start = np.array(placement.center) * shape - np.array(placement.moved) * np.array(size) * step
    first = start + 0.5 * step - 0.5
    mode = "nearest" if outside is None else "constant"

    def one(channel: NDArray[Any]) -> NDArray[Any]:
        blur = np.maximum((step - 1) / 2, 0)
        smooth = ndimage.gaussian_filter(channel, blur) if blur.max() > 0.25 else channel
        return np.asarray(
            ndimage.affine_transform(smooth, step, first, size, order=order, mode=mode, cval=outside or 0.0)
        )

    if values.dtype == bool:
        return one(values.astype(np.float32)) > 0.5
    values = values.astype(np.float32)
    return one(values) if values.ndim == 2 else np.stack([one(values[..., c]) for c in range(values.shape[2])], axis=2)


def _reduced(support: Descriptors, target: Descriptors) -> tuple[Array, Array]:
    """Both frames' features and intensities (K, n, n), projected onto what varies most on the support."""
    shared = min(len(support.intensities), len(target.intensities))
    both = []
    for one in (support, target):
        grays = one.intensities[:shared]
        grays = grays - grays.mean(axis=(1, 2), keepdims=True)
        both.append(np.concatenate([one.features, INTENSITY_WEIGHT * grays]).reshape(-1, one.cells**2))
    values, vectors = np.linalg.eigh(both[0] @ both[0].T)
    basis = vectors[:, np.argsort(-values)[:CHANNELS]].T
    first, second = ((basis @ one).reshape(-1, support.cells, support.cells) for one in both)
    return first.astype(np.float32), second.astype(np.float32)


def _template(mask: Array) -> tuple[Array, Array]:
    """Weights (n, n) of the structure and of a ring around it; each sums to 1."""
    inside = mask / max(float(mask.sum()), 1e-6)
    reach = max(1, round(RING * np.sqrt(float(mask.sum()))))
    ring = ndimage.binary_dilation(mask > 0.25, iterations=reach) * (1 - mask)
    return inside.astype(np.float32), (ring / max(float(ring.sum()), 1e-6)).astype(np.float32)


def _zoomed(channel: Array, scale: float, center: tuple[float, ...]) -> Array:
    if scale == 1.0:
        return channel
    offset = np.array(center) * (1 - 1 / scale)
    return np.asarray(ndimage.affine_transform(channel, np.array([1 / scale] * 2), offset, order=1, cval=0.0))


def _peaks(
    surfaces: Array,
    offsets: NDArray[np.intp],
    scales: Sequence[float],
    center: tuple[float, ...],
    cells: int,
    apart: float,
    count: int,
) -> list[Placement]:
    found: list[Placement] = []
    surfaces = surfaces.copy()
    for _ in range(count):
        n, row, column = map(int, np.unravel_index(int(surfaces.argmax()), surfaces.shape))
        score = float(surfaces[n, row, column])
        if not np.isfinite(score):
            break
        shift = offsets[row], offsets[column]
        at = tuple((center[axis] + 0.5 + shift[axis]) / cells for axis in (0, 1))
        found.append(
            Placement(scales[n], ((center[0] + 0.5) / cells, (center[1] + 0.5) / cells), (at[0], at[1]), score)
        )
        near = (offsets[:, None] - shift[0]) ** 2 + (offsets[None] - shift[1]) ** 2 <= apart**2
        surfaces[:, near] = -np.inf
    return found
