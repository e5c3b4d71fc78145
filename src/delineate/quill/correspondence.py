"""Quill's features brought onto those of a network that saw many patients, so that the same anatomy looks alike.

A ridge regression onto the image embedding of LiteMedSAM, the simplest distillation of features (arXiv 1412.6550).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.fewshot.feature_map import Array

FITTED = Path(__file__).parent / "weights" / "correspondence_v8.npz"
AROUND = (1.5, 4.0)  # cells: standard deviations of the surroundings that are seen too
CHANNELS = 64  # principal components of what is learned
DAMPING = 0.01  # of the regression, as a share of the mean variance


@dataclass(frozen=True, eq=False)
class CorrespondenceMap:
    """A linear map of features and of their surroundings.

    weights  float32 (CHANNELS, 3 C)
    sha256   of the Quill it was fitted to; on another one it means nothing
    """

    weights: Array
    sha256: str

    @classmethod
    def fitted(cls, pairs: Iterable[tuple[Array, Array]], sha256: str) -> CorrespondenceMap:
        """Fitted to features (C, n, n) of frames, and what they are to become, (D, n, n) of the same cells."""
        inputs, targets, both = np.zeros(()), np.zeros(()), np.zeros(())
        seen = 0
        for features, wanted in pairs:
            one = _with_surroundings(features).astype(np.float64)
            other = _centered(wanted).reshape(len(wanted), -1).astype(np.float64)
            inputs, targets, both = inputs + one @ one.T, targets + other @ other.T, both + other @ one.T
            seen += one.shape[1]
        main = np.linalg.eigh(targets / seen)[1][:, : -CHANNELS - 1 : -1].T
        damping = DAMPING * np.trace(inputs / seen) / len(inputs) * np.eye(len(inputs))
        weights = np.linalg.solve(inputs / seen + damping, (main @ both / seen).T).T
        return cls(weights.astype(np.float32), sha256)

    @classmethod
    def read(cls, file: Path) -> CorrespondenceMap:
        with np.load(file, allow_pickle=False) as kept:
            return cls(kept["weights"].astype(np.float32), str(kept["sha256"]))

    def write(self, file: Path) -> None:
        np.savez_compressed(file, weights=self.weights.astype(np.float16), sha256=np.array(self.sha256))

    def __call__(self, features: Array) -> Array:
        """(C, n, n) -> (CHANNELS, n, n); cells are those of one frame, without padding."""
        mapped = self.weights @ _with_surroundings(features)
        return np.asarray(mapped.reshape(-1, *features.shape[1:]))


def _with_surroundings(features: Array) -> NDArray[np.float32]:
    """(C, n, n) -> (3 C, n n): features less their mean over the frame, and smoothed over their surroundings."""
    own = _centered(features)
    around = [ndimage.gaussian_filter(own, (0, sigma, sigma), mode="nearest") for sigma in AROUND]
    return np.concatenate([own, *around]).reshape(3 * len(own), -1)


def _centered(features: Array) -> Array:
    return np.asarray(features - features.mean(axis=(1, 2), keepdims=True))
