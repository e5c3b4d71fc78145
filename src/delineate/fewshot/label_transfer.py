"""Labels carried from supports to a target, cell by cell, by how alike cells look and how near they lie.

Patch-based label fusion (Coupé et al., NeuroImage 2011) on network features: each target cell takes the mean label of
all support cells, weighted by likeness. How much the place counts follows from how well the frames are aligned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delineate.fewshot.descriptors import Descriptors
from delineate.fewshot.feature_map import Array

LEAST = np.float32(1e-30)  # sum of weights


@dataclass(frozen=True)
class TransferOptions:
    """How cells are compared.

    feature_weight    of the cosine of two cells' features
    intensity_weight  of the squared difference of their intensities
    near, far         standard deviations of the place, in shares of the frame, of aligned and of unrelated frames
    """

    feature_weight: float = 15.0
    intensity_weight: float = 15.0
    near: float = 0.07
    far: float = 0.5

    def spread(self, alignment: float) -> float:
        """The standard deviation of the place for an alignment from 0 to 1."""
        return float(self.far * (self.near / self.far) ** min(max(alignment, 0.0), 1.0))


def cosines(target: Descriptors, support: Descriptors) -> Array:
    """Of each target cell (rows) with each support cell (columns)."""
    return np.asarray(target.features.reshape(len(target.features), -1).T @ _flat(support.features))


def alignment(likeness: Array) -> float:
    """How well two frames are aligned: the likeness of cells at the same place, between that of any two and the best.

    1: the most alike cell lies at the same place everywhere; 0: the place says nothing.
    """
    same, best, any_two = np.diag(likeness).mean(), likeness.max(axis=1).mean(), likeness.mean()
    return float(np.clip((same - any_two) / max(float(best - any_two), 1e-6), 0, 1))


def pair_weights(target: Descriptors, support: Descriptors, likeness: Array, options: TransferOptions) -> Array:
    """How much each target cell (rows) speaks for each support cell (columns), the same in both directions.

    likeness  ``cosines`` of the two
    """
    spread = options.spread(alignment(likeness))
    channels = min(len(target.intensities), len(support.intensities))
    places = np.mgrid[: target.cells, : target.cells].astype(np.float32) / np.float32(target.cells * spread * 2**0.5)
    weight = np.float32(options.intensity_weight**0.5)
    one, other = (
        np.concatenate([_flat(weight * each.intensities[:channels]), _flat(places)]) for each in (target, support)
    )
    logits = squared_distances(one, other)
    logits *= -1
    logits += np.float32(options.feature_weight) * (likeness - 1)
    return np.asarray(np.exp(logits, out=logits))


def transferred(weights: Sequence[Array], labels: Sequence[NDArray[np.float32]]) -> Array:
    """Probabilities (L, n, n) of each structure on the target.

    weights  ``pair_weights`` with each support
    labels   of each support, (L, n, n): the share of each cell that a structure covers
    """
    return _mean_labels(weights, [_flat(one) for one in labels], labels[0].shape[-1])


def carried_back(weights: Array, masks: NDArray[np.float32]) -> Array:
    """What masks (K, n, n) on the target would say of the support: probabilities (K, n, n) there.

    A mask that is right brings the support's own back (reverse classification accuracy, Valindria et al., IEEE TMI
    2017).
    """
    return _mean_labels([weights.T], [_flat(masks)], masks.shape[-1])


def _mean_labels(weights: Sequence[Array], values: Sequence[Array], cells: int) -> Array:
    """Values (L, columns) of what each row is like, averaged by its weights: (L, cells, cells)."""
    ones = np.ones((1, cells**2), np.float32)
    sums = sum(one @ np.concatenate([own, ones]).T for one, own in zip(weights, values, strict=True))
    return np.asarray((sums[:, :-1] / np.maximum(sums[:, -1:], LEAST)).T, np.float32).reshape(-1, cells, cells)


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1)


def squared_distances(one: Array, other: Array) -> Array:
    """Squared distances of every cell of one (rows) to every cell of the other, over channels both have."""
    channels = min(len(one), len(other))
    a, b = _flat(one[:channels]), _flat(other[:channels])
    ones = np.ones((1, a.shape[1]), np.float32), np.ones((1, b.shape[1]), np.float32)
    left = np.concatenate([-2 * a, (a * a).sum(axis=0, keepdims=True), ones[0]])
    right = np.concatenate([b, ones[1], (b * b).sum(axis=0, keepdims=True)])
    return np.asarray(left.T @ right)
