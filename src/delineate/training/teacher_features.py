"""A teacher's embeddings, computed once and kept as fp16 memory maps, by the content of picture and teacher."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.io.atomic import replacing
from delineate.predictors.sam import SamPredictor


class TeacherFeatures:
    """Embeddings of pictures; one file each, so that runs can share a folder and a stopped one loses nothing."""

    def __init__(self, teacher: SamPredictor, folder: Path) -> None:
        self._teacher, self._folder = teacher, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = hashlib.sha256(repr(teacher.behavior.profile).encode())
        for name, value in teacher.network.state_dict().items():
            self._key.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            self._key.update(value.detach().flatten().contiguous().view(torch.uint8).cpu().numpy().data)

    def of(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """(256, f, f), float32, of a picture (height, width[, 3])."""
        key = self._key.copy()
        key.update(str(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
        path = self._folder / f"{key.hexdigest()[:32]}.npy"
        if not path.is_file():
            embedding = self._teacher.encode(Frame.of(picture)).embedding[0].half().cpu().numpy()
            with replacing(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, embedding)
        return torch.from_numpy(np.load(path, mmap_mode="r").astype(np.float32))
