"""How well an outline matches the true one.

Empty masks, everywhere the same: both empty is a perfect answer (1, 0 mm); one of them empty is a miss (0 for every
overlap, infinite for the Hausdorff distance). Tables count the misses and never drop them from a mean overlap.

Masks may be of any number type: what is not 0 is inside. Two of different shapes, and ones with NaN, are a ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from delineate.evaluation.surface import mask_pair

Mask = NDArray[np.bool_]

NSD_TOLERANCE = 2.0  # mm; pixels where no spacing is known (MedSAM, arXiv 2304.12306)
BOUNDARY_SHARE = 0.008  # of the frame's diagonal: how far a video's boundary may be off (DAVIS 2016)


class Metric(StrEnum):
    """A number that says how good an outline is; the value is its column name."""

    DICE = "dice"
    IOU = "iou"
    NSD = "nsd"
    HD95 = "hd95"
    J = "j"
    F = "f"
    J_AND_F = "j&f"


def dice(truth: Mask, predicted: Mask) -> float:
    """Overlap, 0 to 1: twice the shared pixels over the pixels of both."""
    truth, predicted = mask_pair(truth, predicted)
    total = int(truth.sum()) + int(predicted.sum())
    return 2 * int((truth & predicted).sum()) / total if total else 1.0


def iou(truth: Mask, predicted: Mask) -> float:
    """Overlap, 0 to 1: shared pixels over the pixels of either (Jaccard; J of a video frame)."""
    truth, predicted = mask_pair(truth, predicted)
    either = int((truth | predicted).sum())
    return int((truth & predicted).sum()) / either if either else 1.0


def boundary_f(truth: Mask, predicted: Mask) -> float:
    """F of a video frame: how much of either boundary (height, width) has the other one near, as a harmonic mean.

    Near is within 0.8 % of the frame's diagonal (Perazzi et al. 2016, DAVIS).
    """
    truth, predicted = mask_pair(truth, predicted)
    edges = _boundary(truth), _boundary(predicted)
    if not edges[0].any() and not edges[1].any():
        return 1.0
    if not edges[0].any() or not edges[1].any():
        return 0.0
    disk = _disk(int(np.ceil(BOUNDARY_SHARE * np.hypot(*truth.shape))))
    recall = (edges[0] & binary_dilation(edges[1], disk)).sum() / edges[0].sum()
    precision = (edges[1] & binary_dilation(edges[0], disk)).sum() / edges[1].sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def frame_scores(truth: Mask, predicted: Mask) -> dict[str, float]:
    """J, F and their mean for one structure on one frame of a video."""
    region, boundary = iou(truth, predicted), boundary_f(truth, predicted)
    return {Metric.J: region, Metric.F: boundary, Metric.J_AND_F: (region + boundary) / 2}


def per_frame_class_iou(truths: Sequence[Mask], predicted: Sequence[Mask]) -> tuple[float, float]:
    """Mean IoU over the classes of one frame, one mask (height, width) a class: (challenge's, with false classes).

    The EndoVis challenge takes the classes that are in the truth; the second number also those that are only
    predicted, each of which counts 0. nan where no class is there to take: such a frame is left out of a mean.
    """
    pairs = [mask_pair(t, p) for t, p in zip(truths, predicted, strict=True)]
    present = [iou(t, p) for t, p in pairs if t.any()]
    either = [iou(t, p) for t, p in pairs if t.any() or p.any()]
    nothing = float("nan")
    return float(np.mean(present)) if present else nothing, float(np.mean(either)) if either else nothing


def _boundary(mask: Mask) -> Mask:
    """Pixels that differ from the one to the right, below, or both."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    return (here != padded[:-1, 1:]) | (here != padded[1:, :-1]) | (here != padded[1:, 1:])


def _disk(radius: int) -> Mask:
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(rows**2 + columns**2 <= radius**2)
