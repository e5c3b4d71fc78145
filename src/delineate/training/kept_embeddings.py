"""Embeddings of a frozen encoder, computed once and kept in a folder as fp16 memory maps, by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.io.atomic import replacing
from delineate.models.sam import Sam


class KeptArrays:
    """One file an array, so that runs can share a folder and a stopped one loses nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str, make: Callable[[], Tensor]) -> NDArray[np.float16]:
        """What is kept under ``key``; else what ``make`` makes."""
        path = self._folder / f"{key[:32]}.npy"
        if not path.is_file():
            array = make().half().cpu().numpy()
            with replacing(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, array)
        kept: NDArray[np.float16] = np.load(path, mmap_mode="r")
        return kept


class KeptEmbeddings:
    """Embeddings of prepared pixels by one network's image encoder."""

    def __init__(self, network: Sam, folder: Path) -> None:
        self._network, self._arrays = network, KeptArrays(folder)
        self._key = hashlib.sha256()
        hash_weights(self._key, network.host.vision_encoder.state_dict().items())

    def of(self, pixels: Tensor) -> Tensor:
        """(256, f, f), fp16, of pixels (3, S, S)."""
        key = self._key.copy()
        key.update(str(tuple(pixels.shape)).encode() + pixels.contiguous().cpu().numpy().tobytes())
        device = next(self._network.parameters()).device
        kept = self._arrays.get(key.hexdigest(), lambda: embedded(self._network, pixels.to(device)))
        return torch.from_numpy(np.array(kept))


@torch.no_grad()
def embedded(network: Sam, pixels: Tensor) -> Tensor:
    """(256, f, f), computed in fp32, of pixels (3, S, S)."""
    with torch.autocast(pixels.device.type, enabled=False):
        return network.embed(pixels[None])[0]


def hash_weights(digest: hashlib._Hash, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Add names, kinds and values of weights to a digest."""
    for name, value in weights:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().flatten().contiguous().view(torch.uint8).cpu().numpy().data)
