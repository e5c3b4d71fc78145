"""Structures of a few labeled frames, found and outlined on another frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.fewshot.candidates import (
    Candidate,
    Mask,
    Origin,
    Refiner,
    ShownExample,
    coarse_candidates,
    cut_of,
    dice_of_all,
    overlap,
    placed_candidates,
    weighed,
)
from delineate.fewshot.descriptors import Descriptors, gray_and_color, whitening_of
from delineate.fewshot.feature_map import Array, FeatureExtractor, FeatureMap
from delineate.fewshot.features import feature_map
from delineate.fewshot.label_transfer import TransferOptions, alignment, cosines, pair_weights, transferred
from delineate.fewshot.pixel_look import PixelLook, as_shown, is_scattered
from delineate.fewshot.placement import Placement, placements
from delineate.fewshot.quality import certainty, quality
from delineate.predictors.frame_predictor import EmbeddingFeatures, FramePredictor

MOST_PLACES = 4  # on a target, of all supports together
SAME = 0.6  # Dice from which on two candidates mean the same thing


@dataclass(frozen=True, eq=False)
class Support:
    """A labeled frame.

    masks  by the structure's name, bool (height, width); a structure that is not on it is left out
    part   where it lies among the slices that hold the structure, 0 to 1, for supports taken from a volume
    """

    frame: Frame
    masks: Mapping[str, Mask]
    part: float | None = None


@dataclass(frozen=True)
class MatchOptions:
    """How much is tried.

    refine   ask the promptable model; else coarse masks alone
    places   of each structure that are looked at
    """

    refine: bool = True
    places: int = 3
    transfer: TransferOptions = field(default_factory=TransferOptions)


@dataclass(frozen=True, eq=False)
class Match:
    """A structure on a target.

    mask        bool (height, width)
    similarity  ``certainty``: how sure it is that the structure is there, 0 to 1
    origin      what made the outline
    coarse      the mask that labels alone give, without a promptable model
    confidence  ``quality``: the Dice to expect, 0 to 1; it ranks outlines of one structure
    evidence    what both were weighed from, ``EVIDENCE``; None where nothing was outlined
    """

    mask: Mask
    similarity: float
    origin: Origin
    coarse: Mask
    confidence: float = 0.0
    evidence: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, mask: Mask, candidate: Candidate, coarse: Mask) -> Match:
        """An outline that a candidate stands for."""
        evidence = candidate.evidence
        return cls(mask, certainty(evidence), candidate.origin, coarse, quality(evidence), evidence)


@dataclass(frozen=True, eq=False)
class Target:
    """A frame that is looked at: what is compared of it, and what the promptable model made of it."""

    frame: Frame
    descriptors: Descriptors
    refiner: Refiner | None
    gray: Array


class Matcher:
    """Finds on other frames what a few supports show.

    Parameters
    ----------
    extractor
        What describes frames.
    supports
        At least one; all structures of all of them are looked for.
    predictor
        Refines; None: coarse masks alone. One that offers a ``quick`` way of answering is asked that way.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        supports: Sequence[Support],
        predictor: FramePredictor | None = None,
        options: MatchOptions | None = None,
    ) -> None:
        self.options = options or MatchOptions()
        self.extractor = extractor
        self.predictor = getattr(predictor, "quick", predictor) if self.options.refine else None
        self._looks: dict[tuple[str, tuple[int, ...]], PixelLook] = {}
        self.supports = tuple(supports)
        maps = [extractor.features(one.frame) for one in supports]
        self._whitening = whitening_of(maps)
        self._described = [self._descriptors(one.frame, own) for one, own in zip(supports, maps, strict=True)]

    @property
    def names(self) -> tuple[str, ...]:
        """The structures, in the order in which supports name them."""
        return tuple(dict.fromkeys(name for one in self.supports for name in one.masks))

    def target(self, frame: Frame) -> Target:
        """Describe and encode a frame; once, where both are done by one network."""
        encoded = None if self.predictor is None else self.predictor.encode(frame)
        own = self.predictor is getattr(self.extractor, "predictor", None)
        shared = own and isinstance(encoded, EmbeddingFeatures)
        features = feature_map(encoded) if shared else self.extractor.features(frame)
        refiner = None if self.predictor is None else Refiner(self.predictor, encoded)
        return Target(frame, self._descriptors(frame, features), refiner, gray_and_color(frame)[0])

    def _descriptors(self, frame: Frame, features: FeatureMap) -> Descriptors:
        return Descriptors.of(frame, features, whitening=self._whitening)

    def match(self, frame: Frame, use: Sequence[int] | None = None) -> dict[str, Match]:
        """Outline every structure on a frame.

        use  numbers of the supports that are compared; default: all
        """
        chosen = range(len(self.supports)) if use is None else use
        described = [self._described[n] for n in chosen]
        supports = [self.supports[n] for n in chosen]
        if all(is_scattered(mask) for one in supports for mask in one.masks.values()):
            frame = as_shown(frame, [one.frame for one in supports])
        target = self.target(frame)
        likeness = [cosines(target.descriptors, one) for one in described]
        names = tuple(dict.fromkeys(name for one in supports for name in one.masks))
        cells = [
            np.stack([one.mask(support.masks[name]) if name in support.masks else _nothing(one) for name in names])
            for support, one in zip(supports, described, strict=True)
        ]
        weights = [
            pair_weights(target.descriptors, one, alike, self.options.transfer)
            for one, alike in zip(described, likeness, strict=True)
        ]
        probabilities = transferred(weights, cells)
        matches = {}
        for n, name in enumerate(names):
            shown = [
                (ShownExample(support.frame, support.masks[name], one, of_cells[n], weight), alignment(alike))
                for support, one, of_cells, weight, alike in zip(
                    supports, described, cells, weights, likeness, strict=True
                )
                if name in support.masks
            ]
            if all(is_scattered(one.mask) for one, _ in shown):
                matches[name] = self._scattered(
                    name, tuple(chosen), target, probabilities[n], [one for one, _ in shown]
                )
            else:
                matches[name] = self._best(target, probabilities[n], shown)
        return matches

    def _scattered(
        self, name: str, chosen: tuple[int, ...], target: Target, cells: Array, shown: Sequence[ShownExample]
    ) -> Match:
        """Many small parts: labels and the look of pixels say where; no place and no shape does."""
        if (name, chosen) not in self._looks:
            self._looks[name, chosen] = PixelLook.of([(one.frame, one.mask) for one in shown])
        probability = target.descriptors.grid.to_frame(cells)
        pixels = self._looks[name, chosen].probability(target.frame)
        mask = _together(pixels, probability) > 0
        found = weighed([Candidate(mask, Origin.PIXELS)], pixels, target, shown)
        coarse = probability > 0.5
        if not found:
            return Match(mask, 0.0, Origin.PIXELS, coarse)
        one = replace(found[0], agreement=overlap(pixels > 0.5, coarse))
        return Match.of(mask, one, coarse)

    def _best(self, target: Target, cells: Array, shown: Sequence[tuple[ShownExample, float]]) -> Match:
        """The outline of one structure, whose probabilities on the grid labels alone gave."""
        probability = target.descriptors.grid.to_frame(cells)
        structure = [one for one, _ in shown]
        cut = cut_of(probability, structure)
        candidates = coarse_candidates(probability, cut, target.frame, target.refiner)
        each = self.options.places if len(shown) == 1 else min(2, self.options.places)
        found: list[tuple[Placement, ShownExample]] = []
        for support, aligned in shown:
            spread = self.options.transfer.spread(aligned)
            places = placements(target.descriptors, support.descriptors, support.cells, cells, spread, each)
            found += [(place, support) for place in places]
        for place, support in sorted(found, key=lambda pair: -pair[0].score)[:MOST_PLACES]:
            candidates += placed_candidates(support, [place], target.frame, target.refiner)
        ranked = _ranked(weighed(candidates, probability, target, structure))
        coarse = probability > cut
        if not ranked:
            return Match(np.zeros(target.frame.size, bool), 0.0, Origin.COARSE, coarse)
        return Match.of(_voted(ranked), ranked[0][1], coarse)


def _ranked(candidates: Sequence[Candidate]) -> list[tuple[float, Candidate]]:
    """Candidates with their quality, best first: by it, and by the Dice with the truth were that one of them."""
    if not candidates:
        return []
    masks = [one.mask for one in candidates]
    qualities = np.array([quality(one.evidence) for one in candidates])
    chances = qualities**2 / (qualities**2).sum()
    dice = dice_of_all(masks, masks[0].astype(np.float32))[:, 1:]
    order = np.argsort(-qualities * (dice @ chances), kind="stable")
    return [(float(qualities[n]), candidates[n]) for n in order]


def _voted(ranked: Sequence[tuple[float, Candidate]]) -> NDArray[np.bool_]:
    """Pixels by majority of the candidates that mean the same as the best one, the better ones counting more."""
    best = ranked[0][1]
    same = dice_of_all([one.mask for _, one in ranked], best.mask.astype(np.float32))[:, 0] > SAME
    alike = [(score**2, one.mask) for (score, one), chosen in zip(ranked, same, strict=True) if chosen]
    share = np.zeros(best.mask.shape, np.float32)
    for weight, mask in alike:
        share += np.float32(weight) * mask
    voted = np.asarray(share > 0.5 * sum(weight for weight, _ in alike))
    return voted if voted.any() else best.mask


def _together(one: Array, other: Array) -> Array:
    """Two probabilities as the sum of their logits."""
    one, other = (np.clip(each, 1e-3, 1 - 1e-3) for each in (one, other))
    return np.asarray(np.log(one / (1 - one)) + np.log(other / (1 - other)))


def _nothing(descriptors: Descriptors) -> Array:
    return np.zeros((descriptors.cells, descriptors.cells), np.float32)
