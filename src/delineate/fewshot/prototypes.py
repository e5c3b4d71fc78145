"""Adaptive local prototype pooling: support features under a mask, and how alike each cell of a query is to them.

ALPNet (arXiv 2007.09886, section 3.2), as ProtoSAM (arXiv 2407.07042) and the DINOv2 variant (arXiv 2403.03273) run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
LEAST_NORM = 1e-4  # vectors are divided by no less
LEAST_AREA = 1e-5  # added to the area of a mask


class PrototypeMode(StrEnum):
    MASK = "mask"  # one prototype a shot: the mean under the mask
    GRIDCONV = "gridconv"  # a prototype for each window that the mask fills
    GRIDCONV_PLUS = "gridconv+"  # those and the mean under the mask


class ShotReduction(StrEnum):
    """What becomes of the prototypes of several shots in mode ``mask``."""

    MAX = "max"  # each is compared, the best counts
    MEAN = "mean"  # the shots' prototypes are averaged first, as in the original ALPNet


@dataclass(frozen=True)
class PrototypeOptions:
    """Constants of the papers.

    proto_grid     windows along each side that decide whether a structure is large enough for local prototypes
    val_window     cells along a side of the windows that give local prototypes
    fg_threshold   share of a window that the structure fills, from which on (not including) it is one of its prototypes
    bg_threshold   the same for what is not the structure
    temperature    cosines are multiplied by it
    reduction      of several shots in mode ``mask``
    """

    proto_grid: int = 8
    val_window: int = 2
    fg_threshold: float = 0.95
    bg_threshold: float = 0.95
    temperature: float = 20.0
    reduction: ShotReduction = ShotReduction.MAX

    def train_window(self, size: tuple[int, int]) -> tuple[int, int]:
        """Cells along y and x of the windows of a grid (h, w) in ``proto_grid`` parts, at least one."""
        return max(size[0] // self.proto_grid, 1), max(size[1] // self.proto_grid, 1)


@dataclass(frozen=True, eq=False)
class Shot:
    """A support: features (C, h, w) and its mask (h, w), 0 to 1."""

    features: Array
    mask: Array


def unit(vectors: Array, axis: int) -> Array:
    """Vectors along an axis, at length 1; shorter than ``LEAST_NORM`` they stay shorter."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=axis, keepdims=True), LEAST_NORM))


def mask_prototype(shot: Shot) -> Array:
    """The mean (C,) of the features under the mask."""
    return np.asarray((shot.features * shot.mask).sum(axis=(1, 2)) / (shot.mask.sum() + LEAST_AREA))


def pooled(values: Array, window: tuple[int, int]) -> Array:
    """Means (..., h // window, w // window) over windows side by side; rows and columns left over are dropped."""
    rows, columns = values.shape[-2] // window[0], values.shape[-1] // window[1]
    kept = values[..., : rows * window[0], : columns * window[1]]
    return np.asarray(kept.reshape(*values.shape[:-2], rows, window[0], columns, window[1]).mean(axis=(-3, -1)))


def local_prototypes(shot: Shot, window: tuple[int, int], threshold: float) -> Array:
    """Mean features (N, C) of the windows whose share of the mask is over ``threshold``."""
    filled = pooled(shot.mask, window) > threshold
    return np.asarray(pooled(shot.features, window)[:, filled].T)


def mask_scores(query: Array, prototypes: Array, temperature: float = 20.0) -> Array:
    """The best cosine of each cell of a query (C, h, w) with prototypes (N, C), times ``temperature``: (h, w)."""
    cosines = np.einsum("nc,cyx->nyx", unit(prototypes, 1), unit(query, 0))
    return np.asarray(temperature * cosines.max(axis=0))


def local_scores(query: Array, prototypes: Array, temperature: float = 20.0) -> Array:
    """Cosines of a query (C, h, w) with prototypes (N, C), times ``temperature``, averaged by their own softmax."""
    scores = temperature * np.einsum("nc,cyx->nyx", unit(prototypes, 1), unit(query, 0))
    weights = np.exp(scores - scores.max(axis=0))
    return np.asarray((weights * scores).sum(axis=0) / weights.sum(axis=0))


def scores(
    query: Array, shots: Sequence[Shot], mode: PrototypeMode, threshold: float, options: PrototypeOptions
) -> Array:
    """How alike each cell of a query is to what the shots' masks hold: (h, w), within plus and minus the temperature.

    Local prototypes of all shots are one list. Where no window passes, the mean under the mask is taken.
    """
    window = (options.val_window, options.val_window)
    means = np.stack([mask_prototype(shot) for shot in shots])
    if mode is PrototypeMode.MASK:
        if options.reduction is ShotReduction.MEAN:
            means = means.mean(axis=0, keepdims=True)
        return mask_scores(query, means, options.temperature)
    local = np.concatenate([local_prototypes(shot, window, threshold) for shot in shots])
    if mode is PrototypeMode.GRIDCONV_PLUS:
        local = np.concatenate([local, means])
    return (
        local_scores(query, local, options.temperature)
        if len(local)
        else mask_scores(query, means, options.temperature)
    )


def foreground_mode(shot: Shot, options: PrototypeOptions) -> PrototypeMode:
    """Local prototypes where the structure fills a window of ``proto_grid``, else the mean alone."""
    filled = pooled(shot.mask, options.train_window(shot.mask.shape)).max(initial=0.0)
    return PrototypeMode.GRIDCONV_PLUS if filled >= options.fg_threshold else PrototypeMode.MASK


def coarse_logits(query: Array, shots: Sequence[Shot], options: PrototypeOptions | None = None) -> Array:
    """Background and foreground scores (2, h, w) of a query (C, h, w).

    Background windows of all shots are compared together. The structure is compared shot by shot, each in its own mode,
    and the best shot counts.
    """
    options = options or PrototypeOptions()
    outside = [Shot(shot.features, 1 - shot.mask) for shot in shots]
    background = scores(query, outside, PrototypeMode.GRIDCONV, options.bg_threshold, options)
    modes = [foreground_mode(shot, options) for shot in shots]
    if options.reduction is ShotReduction.MEAN and all(mode is PrototypeMode.MASK for mode in modes):
        foreground = scores(query, shots, PrototypeMode.MASK, options.fg_threshold, options)
    else:
        each = [
            scores(query, [shot], mode, options.fg_threshold, options) for shot, mode in zip(shots, modes, strict=True)
        ]
        foreground = np.max(each, axis=0)
    return np.stack([background, foreground])
