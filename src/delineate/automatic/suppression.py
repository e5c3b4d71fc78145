"""Non-maximum suppression of boxes, and of outlines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from delineate.core.rle import Rle


def keep_best(boxes: NDArray[np.number], scores: NDArray[np.floating], overlap: float) -> list[int]:
    """Indices of boxes (N, 4), best first, of which no two overlap by more than ``overlap`` (IoU).

    In single precision, as torchvision computes it: an IoU of 0.3 counts as more than 0.3.
    """
    boxes = np.asarray(boxes, dtype=np.float32)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = np.argsort(-np.asarray(scores), kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[waiting, :2])
        high = np.minimum(boxes[best, 2:], boxes[waiting, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        with np.errstate(invalid="ignore"):  # of two boxes without an area
            iou = shared / (areas[best] + areas[waiting] - shared)
        waiting = waiting[~(iou.astype(np.float64) > overlap)]
    return kept


def keep_best_masks(
    masks: Sequence[Rle], boxes: NDArray[np.number], scores: NDArray[np.floating], overlap: float
) -> list[int]:
    """The same for outlines in parts of one picture: boxes first, then the pixels of those whose boxes meet."""
    boxes = np.asarray(boxes, dtype=np.float64)
    kept: list[int] = []
    for n in keep_best(boxes, scores, overlap):
        others = boxes[kept].reshape(-1, 4)
        meet = (others[:, :2] < boxes[n, 2:]).all(axis=1) & (boxes[n, :2] < others[:, 2:]).all(axis=1)
        if not any(_iou(masks[n], masks[kept[other]]) > overlap for other in np.flatnonzero(meet)):
            kept.append(n)
    return kept


def _iou(one: Rle, other: Rle) -> float:
    shared = one.intersection(other)
    return shared / max(1, one.area + other.area - shared)
