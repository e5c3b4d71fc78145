"""Non-maximum suppression of boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def keep_best(boxes: NDArray[np.number], scores: NDArray[np.floating], overlap: float) -> list[int]:
    """Indices of boxes (N, 4), best first, of which no two overlap by more than ``overlap`` (IoU)."""
    boxes = np.asarray(boxes, dtype=np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = np.argsort(-np.asarray(scores), kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[waiting, :2])
        high = np.minimum(boxes[best, 2:], boxes[waiting, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        waiting = waiting[shared <= overlap * (areas[best] + areas[waiting] - shared)]
    return kept
