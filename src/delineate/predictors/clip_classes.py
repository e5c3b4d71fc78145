"""Networks that name what they see, as dense predictors: clips of any length, in overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.compute.engine import Engine
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.scan import Scan
from delineate.predictors.capabilities import Capabilities, NetworkKind, Scope
from delineate.predictors.postprocess import values_on_frame
from delineate.preprocess.fitting import Fitted
from delineate.preprocess.intensity import WindowRule
from delineate.preprocess.profiles import Profile

Array = NDArray[np.float32]
Prepare = Callable[[Profile, Sequence[Frame]], tuple[Array, list[Fitted]]]


class ClassNetwork(Protocol):
    """What is asked of the network."""

    def classify(self, pixels: Tensor, depth: int = 1) -> Tensor:
        """Pixels (B, C, side, side), clips of ``depth`` -> logits (B, 1 + classes, h, w)."""
        ...


def prepared_frames(profile: Profile, frames: Sequence[Frame]) -> tuple[Array, list[Fitted]]:
    """Each frame as the profile says: (D, 3, side, side), and where it lies."""
    made = [profile.prepare(frame) for frame in frames]
    return np.stack([pixels for pixels, _ in made]), [place for _, place in made]


def prepared_gray_clip(profile: Profile, frames: Sequence[Frame]) -> tuple[Array, list[Fitted]]:
    """Gray frames (D, 1, side, side), scaled together: the clip's least value to 0, its greatest to 1; padding is 0."""
    pixels, places = prepared_frames(profile, frames)
    gray = pixels.mean(axis=1, keepdims=True)
    inner = [_inside(one, place) for one, place in zip(gray, places, strict=True)]
    low, high = min(one.min() for one in inner), max(one.max() for one in inner)
    out = np.zeros_like(gray)
    for one, scaled, place in zip(gray, out, places, strict=True):
        _inside(scaled, place)[...] = (_inside(one, place) - low) / max(high - low, 1e-6)
    return out, places


def _inside(pixels: Array, place: Fitted) -> Array:
    """The part of an input (C, side, side) that the frame covers."""
    rows = slice(place.top, place.top + place.inner[0])
    return pixels[:, rows, place.left : place.left + place.inner[1]]


@dataclass(frozen=True, eq=False)
class ClipClassPredictor:
    """A DensePredictor. Frames that several windows see get the mean of their logits, weighted towards their middle.

    depth    frames of a window; a shorter clip is a window by itself
    stride   frames between windows
    prepare  frames as the network's input
    """

    network: Any
    profile: Profile
    engine: Engine
    record: ModelRecord
    classes: tuple[str, ...]
    depth: int = 1
    stride: int = 1
    prepare: Prepare = prepared_frames
    capabilities = Capabilities(frozenset(), Scope.DENSE, follows=None, network=NetworkKind.CLASSES)

    @property
    def window_rule(self) -> WindowRule:
        return self.profile.window_rule

    def predict(self, scan: Scan) -> Iterator[tuple[int, NDArray[Any]]]:
        """Frames in order with their logits (1 + classes, height, width); no more than a window is held."""
        sums: dict[int, tuple[Tensor, float, Fitted]] = {}
        starts = windows(len(scan), self.depth, self.stride)
        for start, following in zip(starts, [*starts[1:], len(scan)], strict=True):
            frames = [scan.frame(n) for n in range(start, min(start + self.depth, len(scan)))]
            for n, (logits, place) in enumerate(self._logits(frames)):
                weight = float(min(n + 1, len(frames) - n))
                known = sums.get(start + n)
                total = weight * logits if known is None else known[0] + weight * logits
                sums[start + n] = total, weight + (0.0 if known is None else known[1]), place
            for frame in sorted(n for n in sums if n < following):
                total, weight, place = sums.pop(frame)
                yield frame, values_on_frame(total / weight, place, self.profile.answer).numpy()

    @torch.inference_mode()
    def _logits(self, frames: Sequence[Frame]) -> list[tuple[Tensor, Fitted]]:
        """Of each frame of a window, (1 + classes, h, w) on the CPU."""
        pixels, places = self.prepare(self.profile, frames)
        with self.engine.encoding():
            logits = self.network.classify(torch.from_numpy(pixels).to(self.engine.device), len(frames))
        logits = logits.float().cpu()
        if logits.shape[1] == 1:  # one structure: what is not it is the background
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return list(zip(logits, places, strict=True))


def windows(frames: int, depth: int, stride: int) -> list[int]:
    """First frames of windows that cover a clip; the last one is shifted back to be as long as the others."""
    last = max(0, frames - depth)
    return sorted({*range(0, last + 1, stride), last})
