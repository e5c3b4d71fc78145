"""From a coarse mask to prompts: what every self-prompting system does between its two halves.

ProtoSAM (arXiv 2407.07042, section 3.3): each connected component becomes a box and one or two points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.resolve import FramePrompts
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import Candidates, Features, FramePredictor, Query

NEIGHBORS = np.ones((3, 3), bool)  # components hang together by corners too
RING = 10  # dilations, within which a negative point beside a component lies


class PointMode(StrEnum):
    CONFIDENT = "conf"  # where the structure is most probable
    CENTROID = "centroid"
    BOTH = "both"


class KeptComponents(StrEnum):
    ALL = "all"
    LARGEST = "largest"
    MOST_CONFIDENT = "most confident"  # "CCA" in the papers


class MaskSelection(StrEnum):
    """Which of the masks that a predictor offers for a component is taken."""

    FIRST = "first"  # the first, whatever its score: what the authors' code does
    BEST_IOU = "best_iou"


@dataclass(frozen=True)
class PromptOptions:
    """What is made of each component.

    components   which are kept (``cca``: the most confident)
    box          a box around it
    points       which points on it; None: none
    num_points   how many of the most probable pixels
    inside       a centroid that lies off a concave component is moved to its nearest pixel
    negatives    a point where the background is most probable, and one in the ring around the component
    mask         the component itself, as a mask prompt
    min_area     pixels; smaller components are dropped
    """

    components: KeptComponents = KeptComponents.ALL
    box: bool = True
    points: PointMode | None = PointMode.BOTH
    num_points: int = 1
    inside: bool = False
    negatives: bool = False
    mask: bool = False
    min_area: int = 1


@dataclass(frozen=True, eq=False)
class Component:
    """A connected part of a coarse mask, and its prompts.

    mask        bool (height, width)
    confidence  probability summed over it, over the pixels of all components
    prompts     that point at it, in pixels
    """

    mask: NDArray[np.bool_]
    confidence: float
    prompts: FramePrompts = field(default_factory=FramePrompts)


def probabilities(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Background and foreground logits (2, height, width) -> the probability of the structure (height, width)."""
    difference = np.clip(logits[0] - logits[1], -80, 80)
    return np.asarray(1 / (1 + np.exp(difference)), np.float32)


def coarse_to_prompts(
    probability: NDArray[np.floating], options: PromptOptions | None = None, threshold: float = 0.5
) -> list[Component]:
    """The components over ``threshold`` with their prompts, most confident first; none of an empty mask."""
    options = options or PromptOptions()
    predicted = probability > threshold
    parts, count = ndimage.label(predicted, structure=NEIGHBORS)
    if not count:
        return []
    numbers = np.arange(1, count + 1)
    areas = ndimage.sum_labels(predicted, parts, numbers)
    confidence = ndimage.sum_labels(probability, parts, numbers) / (predicted.sum() + 1e-6)
    order = numbers[np.argsort(-confidence, kind="stable")]
    order = order[areas[order - 1] >= options.min_area]
    match options.components:
        case KeptComponents.MOST_CONFIDENT:
            order = order[:1]
        case KeptComponents.LARGEST:
            order = order[np.argsort(-areas[order - 1], kind="stable")][:1]
    return [_component(parts == number, float(confidence[number - 1]), probability, options) for number in order]


def box_of(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """The half-open box x0, y0, x1, y1 around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def refined(
    predictor: FramePredictor,
    features: Features,
    components: Sequence[Component],
    selection: MaskSelection = MaskSelection.BEST_IOU,
) -> list[tuple[NDArray[np.bool_], float]]:
    """What a promptable model outlines of each component, with its predicted IoU; all asked together."""
    answers = decoded(predictor, features, [Query(component.prompts) for component in components])
    return [_selected(answer, selection) for answer in answers]


def _selected(answer: Candidates, selection: MaskSelection) -> tuple[NDArray[np.bool_], float]:
    index = 0 if selection is MaskSelection.FIRST else answer.best
    return np.asarray(answer.masks[index]), float(answer.scores[index])


def _component(
    mask: NDArray[np.bool_], confidence: float, probability: NDArray[np.floating], options: PromptOptions
) -> Component:
    positive = _points(mask, probability, options)
    negative = _negatives(mask, probability) if options.negatives else []
    places = np.array([*positive, *negative], np.float64).reshape(-1, 2)
    labels = np.array([True] * len(positive) + [False] * len(negative), bool)
    box = box_of(mask) if options.box else None
    prompts = FramePrompts(places, labels, box, mask if options.mask else None)
    return Component(mask, confidence, prompts)


def _points(
    mask: NDArray[np.bool_], probability: NDArray[np.floating], options: PromptOptions
) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    if options.points in (PointMode.CONFIDENT, PointMode.BOTH):
        rows, columns = np.nonzero(mask)
        best = np.argsort(-probability[rows, columns], kind="stable")[: options.num_points]
        points += [(float(columns[n]), float(rows[n])) for n in best]
    if options.points in (PointMode.CENTROID, PointMode.BOTH):
        points.append(_centroid(mask, options.inside))
    return points


def _centroid(mask: NDArray[np.bool_], inside: bool) -> tuple[float, float]:
    places = np.argwhere(mask)
    middle = places.mean(axis=0)
    if inside and not mask[tuple(np.rint(middle).astype(int))]:
        middle = places[((places - middle) ** 2).sum(axis=1).argmin()]
    return float(middle[1]), float(middle[0])


def _negatives(mask: NDArray[np.bool_], probability: NDArray[np.floating]) -> list[tuple[float, float]]:
    """The most certain background pixel of the image (at least 0.95), and that of the ring around the component."""
    background = 1 - probability
    points = []
    if background.max() >= 0.95:
        points.append(np.unravel_index(int(background.argmax()), background.shape))
    ring = ndimage.binary_dilation(mask, NEIGHBORS, iterations=RING) & ~mask
    if ring.any():
        points.append(np.unravel_index(int(np.where(ring, background, -1).argmax()), background.shape))
    return [(float(column), float(row)) for row, column in points]
