"""Systems that need one labeled example and no prompt: coarse by prototypes, then outlined by a promptable model.

As a FramePredictor such a system is prompted with the outline of a structure on one frame, and finds it on others; what
points at a frame, such as a click, goes to the promptable model, where there is one. The verb ``oneshot`` gives it
examples from other files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.fewshot.coarse_to_prompts import (
    Component,
    MaskSelection,
    PromptOptions,
    coarse_to_prompts,
    probabilities,
    refined,
)
from delineate.fewshot.feature_map import FeatureMap
from delineate.fewshot.features import EncoderExtractor, feature_map
from delineate.fewshot.prototypes import PrototypeOptions, Shot, coarse_logits
from delineate.predictors.capabilities import Capabilities, NetworkKind, PromptKind
from delineate.predictors.frame_predictor import Candidates, FramePredictor, Query, ReferenceFrame
from delineate.preprocess.intensity import WindowRule
from delineate.systems.token_features import TokenExtractor

Array = NDArray[np.float32]


class MaskResize(StrEnum):
    """How a support's mask is brought to the grid of features."""

    NEAREST = "nearest"  # ProtoSAM
    BILINEAR = "bilinear"  # ALPNet
    AREA = "area"  # the share of each cell, for grids with padding


@dataclass(frozen=True)
class OneShotOptions:
    """What papers and code do differently.

    prototypes   windows, thresholds, and what becomes of several shots
    mask_resize  of a support's mask
    prompts      what is made of each component (``components``: the papers' CCA)
    prompt_side  components are looked for on a square of so many pixels, to which the frame is stretched; 0: on the
                 frame
    selection    which mask of the promptable model is taken
    """

    prototypes: PrototypeOptions = field(default_factory=PrototypeOptions)
    mask_resize: MaskResize = MaskResize.NEAREST
    prompts: PromptOptions = field(default_factory=PromptOptions)
    prompt_side: int = 1024
    selection: MaskSelection = MaskSelection.FIRST


@dataclass(frozen=True, eq=False)
class OneShotFeatures:
    """What is kept of a frame: the features that are compared, and what the promptable model made of it."""

    map: FeatureMap
    refiner: Any = None

    @property
    def nbytes(self) -> int:
        return self.map.values.nbytes + int(getattr(self.refiner, "nbytes", 0))

    @property
    def device(self) -> Any:
        return getattr(self.refiner, "device", "cpu")


@dataclass(frozen=True, eq=False)
class OneShotPredictor:
    """A FramePredictor.

    feature_extractor  what describes frames
    refiner            the promptable model; None: outlines stay coarse
    host               holds the encoder as ``vision_encoder``, as networks of the house do
    """

    feature_extractor: TokenExtractor | EncoderExtractor
    refiner: FramePredictor | None
    options: OneShotOptions
    record: ModelRecord
    host: Any = None

    @property
    def capabilities(self) -> Capabilities:
        if self.refiner is None:
            return Capabilities(frozenset({PromptKind.MASK}), network=NetworkKind.FEATURES)
        return replace(Capabilities(self.refiner.capabilities.prompts), multimask=self.refiner.capabilities.multimask)

    @property
    def window_rule(self) -> WindowRule:
        return WindowRule.MEDSAM if self.refiner is None else self.refiner.window_rule

    def encode(self, frame: Frame) -> OneShotFeatures:
        """Describe a frame, and prepare it for the promptable model."""
        refiner = None if self.refiner is None else self.refiner.encode(frame)
        own = isinstance(self.feature_extractor, EncoderExtractor)  # the refiner's embedding, made once
        return OneShotFeatures(feature_map(refiner) if own else self.feature_extractor.features(frame), refiner)

    def decode(self, features: OneShotFeatures, queries: Sequence[Query]) -> list[Candidates]:
        """What is prompted here is outlined by the promptable model; else what a reference frame shows is found.

        Raises PromptError for a prompt on a frame where there is no promptable model.
        """
        return [self._answer(features, query) for query in queries]

    def found(self, features: OneShotFeatures, shots: Sequence[Shot]) -> Candidates:
        """The structure that supports show, found on a frame: the pipeline of the papers."""
        grid = features.map.grid
        return self.outlined(features, grid.to_frame(self.coarse(features.map, shots)))

    def coarse(self, query: FeatureMap, shots: Sequence[Shot]) -> Array:
        """Background and foreground scores (2, h, w) of a frame's features."""
        return coarse_logits(query.values, shots, self.options.prototypes)

    def shot(self, features: FeatureMap, mask: NDArray[np.bool_]) -> Shot:
        """A support, its mask (height, width) on the grid of its features."""
        if self.options.mask_resize is MaskResize.AREA:
            return Shot(features.values, features.grid.to_grid(mask))
        return Shot(features.values, mask_on_grid(mask, features.values.shape[1:], self.options.mask_resize))

    def outlined(self, features: OneShotFeatures, logits: Array) -> Candidates:
        """From scores on the frame (2, height, width) to its outline; nothing where nothing is predicted."""
        size = logits.shape[1:]
        square, factors = stretched(logits, self.options.prompt_side)
        components = coarse_to_prompts(probabilities(square), self.options.prompts)
        coarse = probabilities(logits)
        if self.refiner is None:
            mask = coarse > 0.5
            if self.options.prompts.components != PromptOptions().components:
                mask = on_frame([one.mask for one in components], size)
            sure = float(coarse[coarse > 0.5].mean()) if (coarse > 0.5).any() else 0.0
            return Candidates(mask[None], np.array([sure], np.float32), presence=float(mask.any()))
        if not components:
            return Candidates(np.zeros((1, *size), bool), np.zeros(1, np.float32), presence=0.0)
        asked = [replace(one, prompts=scaled(one, factors, size)) for one in components]
        answers = refined(self.refiner, features.refiner, asked, self.options.selection)
        mask = np.logical_or.reduce([outline for outline, _ in answers])
        score = float(np.mean([score for _, score in answers]))
        return Candidates(mask[None], np.array([score], np.float32))

    def _answer(self, features: OneShotFeatures, query: Query) -> Candidates:
        pointed = query.prompts.says_where or len(query.prompts.points) > 0
        if not pointed and query.reference is not None:
            support: ReferenceFrame = query.reference.prompted or query.reference
            return self.found(features, [self.shot(support.features.map, support.mask)])
        if self.refiner is None:
            raise PromptError(
                "E-PROMPT-EXAMPLE",
                f"{self.record.name} finds what an outline shows on other frames; it takes no clicks and no boxes.",
                "Draw the structure on one frame: --mask FILE; or give examples: delineate oneshot --support IMG MASK",
            )
        inner = query.reference
        if inner is not None:
            inner = replace(inner, features=inner.features.refiner, prompted=None)
        return self.refiner.decode(features.refiner, [replace(query, reference=inner)])[0]


def mask_on_grid(mask: NDArray[np.bool_], size: tuple[int, ...], how: MaskResize) -> Array:
    """A mask (height, width) on a grid (h, w), 0 to 1, without smoothing, as the papers' code resizes it."""
    import torch
    from torch.nn import functional as F

    values = torch.from_numpy(np.ascontiguousarray(mask, np.float32))[None, None]
    corners = {"align_corners": False} if how is MaskResize.BILINEAR else {}
    return np.asarray(F.interpolate(values, size=tuple(size), mode=how.value, **corners)[0, 0].numpy())


def stretched(logits: Array, side: int) -> tuple[Array, tuple[float, float]]:
    """Scores (2, height, width) on a square, and how many of its pixels one of the frame has along x and y."""
    height, width = logits.shape[1:]
    if not side or (height, width) == (side, side):
        return logits, (1.0, 1.0)
    import torch
    from torch.nn import functional as F

    square = F.interpolate(torch.from_numpy(logits)[None], size=(side, side), mode="bilinear", align_corners=False)
    return np.asarray(square[0].numpy()), (side / width, side / height)


def scaled(component: Component, factors: tuple[float, float], size: tuple[int, int]) -> FramePrompts:
    """A component's prompts, found on a square, in pixels of the frame."""
    prompts = component.prompts
    across, down = factors
    box = prompts.box
    if box is not None:
        box = (box[0] / across, box[1] / down, box[2] / across, box[3] / down)
    mask = None if prompts.mask is None else on_frame([prompts.mask], size)
    return replace(prompts, points=prompts.points / (across, down), box=box, mask=mask)


def on_frame(masks: Sequence[NDArray[np.bool_]], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Masks of a square, joined, at a frame's size: the nearest pixel."""
    joined = np.zeros(size, bool)
    for mask in masks:
        joined |= mask_on_grid(mask, size, MaskResize.NEAREST) > 0.5
    return joined
