"""A teacher's embeddings, computed once and kept, by the content of picture and teacher."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.predictors.sam import SamPredictor
from delineate.training.kept_embeddings import KeptArrays, hash_weights


class TeacherFeatures:
    """Embeddings of pictures."""

    def __init__(self, teacher: SamPredictor, folder: Path) -> None:
        self._teacher, self._arrays = teacher, KeptArrays(folder)
        self._key = hashlib.sha256(repr(teacher.behavior.profile).encode())
        hash_weights(self._key, teacher.network.state_dict().items())

    def of(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """(256, f, f), float32, of a picture (height, width[, 3])."""
        key = self._key.copy()
        key.update(str(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
        kept = self._arrays.get(key.hexdigest(), lambda: self._teacher.encode(Frame.of(picture)).embedding[0])
        return torch.from_numpy(kept.astype(np.float32))
