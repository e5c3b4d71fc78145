"""Candidate outlines of a structure on a target, each with what speaks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.fewshot.coarse_to_prompts import KeptComponents, PromptOptions, box_of, coarse_to_prompts
from delineate.fewshot.descriptors import Descriptors, gray_and_color
from delineate.fewshot.feature_map import Array
from delineate.fewshot.label_transfer import carried_back
from delineate.fewshot.placement import Placement, warped
from delineate.fewshot.quality import EVIDENCE
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import Features, FramePredictor, Query, ReferenceFrame

Mask = NDArray[np.bool_]
BINS = 24  # of the histograms of gray values
COMPARED, SAMPLED = 128, 64  # masks are compared in so many pixels along a side, and at least in so many of each
LEAST_CUT = 0.2
MOST_COMPONENTS = 6  # of a coarse mask that are refined


class Origin(StrEnum):
    """What a candidate was made by."""

    COARSE = "labels transferred"
    PLACED = "the support's mask where it fits best"
    COARSE_BOX = "boxes around the coarse components, refined"
    COARSE_MASK = "the coarse mask, refined"
    PLACED_BOX = "a box where the support fits best, refined"
    PLACED_MASK = "the support's mask where it fits best, refined"
    FOLLOWED = "followed from the support, put where it fits best"
    PIXELS = "pixels that look like the structure's"


@dataclass(frozen=True, eq=False)
class Candidate:
    """An outline (height, width), and what speaks for it, each 0 to 1.

    predicted_iou  by the model that refined it; 1 where none did
    presence       that the structure is there at all, by the same
    coarse         Dice of it with the transferred probabilities
    shape          Dice of it with the support's mask as it was placed; of several components: how alike in area
    intensities    overlap of the histogram inside it with that inside the support's mask, gray by gray
    contrast       overlap of the histograms around the two
    placed         likeness of the support's template at its place
    agreement      mean Dice with the other candidates; where there is none, ``coarse``
    back           Dice of the support's mask with what this one, as a label, says of the support
    """

    mask: Mask
    origin: Origin
    predicted_iou: float = 1.0
    presence: float = 1.0
    coarse: float = 0.0
    shape: float = 0.0
    intensities: float = 0.0
    contrast: float = 0.0
    placed: float = 0.0
    agreement: float = 0.0
    back: float = 0.0

    @property
    def evidence(self) -> NDArray[np.float64]:
        """What ``quality`` and ``certainty`` weigh, in the order of ``EVIDENCE``."""
        return np.array([getattr(self, name) for name in EVIDENCE], np.float64)


@dataclass(frozen=True, eq=False)
class ShownExample:
    """A structure on a support.

    cells    the mask on the grid
    weights  ``pair_weights`` of the target with it
    """

    frame: Frame
    mask: Mask
    descriptors: Descriptors
    cells: Array
    weights: Array


class Described(Protocol):
    """A target, as far as candidates are weighed by it."""

    @property
    def descriptors(self) -> Descriptors: ...
    @property
    def gray(self) -> Array: ...


@dataclass(frozen=True, eq=False)
class Refiner:
    """A promptable model with a target it has encoded; None asks no model: coarse masks alone."""

    predictor: FramePredictor
    features: Features

    @property
    def follows(self) -> bool:
        """Whether it takes a support as an earlier frame, by its look, and not only by a box around the mask."""
        return self.predictor.capabilities.chain_options


def overlap(one: NDArray[np.floating] | Mask, other: NDArray[np.floating] | Mask) -> float:
    """Dice of two masks, or of a mask and probabilities (soft)."""
    total = float(one.sum()) + float(other.sum())
    return 2 * float((one * other).sum()) / total if total else 0.0


def cut_of(probability: Array, supports: Sequence[ShownExample]) -> float:
    """The probability from which on a pixel belongs to the structure: half, or less where too few would.

    What is small is voted down by its surroundings; it is about as large as on the supports.
    """
    area = float(np.mean([one.mask.mean() for one in supports]))
    return float(np.clip(np.quantile(probability, 1 - area), LEAST_CUT, 0.5))


def coarse_candidates(probability: Array, cut: float, target: Frame, refiner: Refiner | None) -> list[Candidate]:
    """The transferred mask itself, and refined by boxes and as a mask."""
    mask = probability > cut
    if not mask.any():
        return []
    found = [Candidate(mask, Origin.COARSE)]
    if refiner is None:
        return found
    options = PromptOptions(KeptComponents.ALL, points=None, min_area=max(4, round(0.02 * mask.sum())))
    parts = coarse_to_prompts(probability, options, cut)[:MOST_COMPONENTS]
    queries = [Query(part.prompts) for part in parts] + [Query(FramePrompts(mask=mask))]
    *boxes, whole = decoded(refiner.predictor, refiner.features, queries, target.size)
    if boxes:
        union = np.logical_or.reduce([answer.mask for answer in boxes])
        score = float(np.mean([answer.score for answer in boxes]))
        presence = float(np.mean([answer.presence for answer in boxes]))
        found.append(Candidate(union, Origin.COARSE_BOX, score, presence))
    found.append(Candidate(whole.mask, Origin.COARSE_MASK, whole.score, whole.presence))
    return found


def placed_candidates(
    shown: ShownExample, places: Sequence[Placement], target: Frame, refiner: Refiner | None
) -> list[Candidate]:
    """The support's mask put to each place, and what a promptable model makes of it there."""
    found: list[Candidate] = []
    queries: list[Query] = []
    about: list[tuple[Origin, Mask, Placement]] = []
    for place in places:
        mask = warped(shown.mask, place, target.size, outside=0.0)
        if not mask.any():
            continue
        found.append(Candidate(mask, Origin.PLACED, shape=1.0, placed=place.score))
        if refiner is None:
            continue
        about += [(Origin.PLACED_BOX, mask, place), (Origin.PLACED_MASK, mask, place)]
        queries += [Query(FramePrompts(box=box_of(mask))), Query(FramePrompts(mask=mask))]
        if refiner.follows:
            pixels = warped(_gray(shown.frame), place, target.size)
            reference = refiner.predictor.encode(Frame.of(pixels))
            about.append((Origin.FOLLOWED, mask, place))
            queries.append(Query(reference=ReferenceFrame(reference, mask)))
    if refiner is not None and queries:
        answers = decoded(refiner.predictor, refiner.features, queries, target.size)
        for (origin, mask, place), answer in zip(about, answers, strict=True):
            shape = overlap(answer.mask, mask)
            found.append(Candidate(answer.mask, origin, answer.score, answer.presence, shape=shape, placed=place.score))
    return found


def weighed(
    candidates: Sequence[Candidate], probability: Array, target: Described, supports: Sequence[ShownExample]
) -> list[Candidate]:
    """The candidates that are not empty, with the evidence that does not depend on how they were made.

    probability  (height, width), as labels alone say
    """
    kept = [one for one in candidates if one.mask.any()]
    if not kept:
        return []
    looks = [_look(gray_and_color(one.frame)[0], one.mask) for one in supports]
    areas = float(np.mean([one.mask.mean() for one in supports]))
    cells = np.stack([target.descriptors.mask(one.mask) for one in kept])
    dice = dice_of_all([one.mask for one in kept], probability)
    others = len(kept) - 1
    agreement = (dice[:, 1:].sum(axis=1) - 1) / others if others else dice[:, 0]
    out = []
    for n, (one, back) in enumerate(zip(kept, _back(cells, supports), strict=True)):
        look = _look(target.gray, one.mask)
        area = float(one.mask.mean())
        out.append(
            replace(
                one,
                coarse=float(dice[n, 0]),
                shape=one.shape or min(area, areas) / max(area, areas),
                intensities=max(float(np.minimum(look[0], other[0]).sum()) for other in looks),
                contrast=max(float(np.minimum(look[1], other[1]).sum()) for other in looks),
                agreement=float(agreement[n]),
                back=float(back),
            )
        )
    return out


def dice_of_all(masks: Sequence[Mask], probability: Array) -> Array:
    """Dice of each mask with a probability (first column, soft) and with each of the masks: (K, 1 + K)."""
    x0, y0, x1, y1 = (int(edge) for edge in box_of(np.logical_or.reduce(masks)))
    area = min(int(one.sum()) for one in masks)
    step = max(1, min(max(y1 - y0, x1 - x0) // COMPARED, int((area / SAMPLED) ** 0.5)))
    seen = slice(y0, y1, step), slice(x0, x1, step)
    rows = np.stack([one[seen].ravel() for one in masks]).astype(np.float32)
    columns = np.concatenate([probability[seen].reshape(1, -1), rows])
    totals = np.append(probability.sum() / step**2, rows.sum(axis=1))
    return np.asarray(2 * (rows @ columns.T) / np.maximum(totals[1:, None] + totals[None], 1e-6), np.float32)


def _gray(frame: Frame) -> Array:
    pixels = frame.pixels.astype(np.float32)
    return pixels if pixels.ndim == 2 else pixels.mean(axis=2)


def _back(cells: Array, supports: Sequence[ShownExample]) -> NDArray[np.float64]:
    """``Candidate.back`` of masks (K, n, n), the mean over all supports."""
    each = [[overlap(one, shown.cells) for one in carried_back(shown.weights, cells)] for shown in supports]
    return np.asarray(np.mean(each, axis=0))


def _look(gray: Array, mask: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Histograms of gray values inside a mask, and in its box grown by half, outside of it."""
    x0, y0, x1, y1 = (int(edge) for edge in box_of(mask))
    down, across = (y1 - y0) // 4 + 2, (x1 - x0) // 4 + 2
    part = slice(max(y0 - down, 0), y1 + down), slice(max(x0 - across, 0), x1 + across)
    near, inside = gray[part], mask[part]
    return _histogram(near[inside]), _histogram(near[~inside])


def _histogram(values: Array) -> NDArray[np.float64]:
    counts = np.bincount(np.clip((values * BINS).astype(np.intp), 0, BINS - 1), minlength=BINS).astype(float)
    counts = np.convolve(counts, (0.25, 0.5, 0.25), mode="same")
    return np.asarray(counts / max(counts.sum(), 1e-9))
