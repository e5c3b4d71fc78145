"""What a network is trained on: a few frames, and the structures in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Scene:
    """Labeled frames, made or real.

    frames   float32 (T, H, W, 3), 0 to 1; T = 1 for a still, more for neighboring frames or slices in order
    targets  bool (N, T, H, W), the structures; they may be nested or overlap, and be absent from some frames
    kind     the style or data set, for logs
    """

    frames: NDArray[np.float32]
    targets: NDArray[np.bool_]
    kind: str

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[3] != 3 or self.targets.shape[1:] != self.frames.shape[:3]:
            raise ValueError(f"Frames {self.frames.shape} and targets {self.targets.shape} do not belong together.")
