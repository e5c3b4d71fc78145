"""What a model that outlines structures on single frames must do. numpy at this border, whatever runs behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.predictors.capabilities import Capabilities
from delineate.preprocess.fitting import Fitted
from delineate.preprocess.intensity import WindowRule

Features = Any  # what a predictor made of a frame; opaque, cacheable: StorableFeatures where that is costly


@runtime_checkable
class StorableFeatures(Protocol):
    """What a predictor made of a frame, as far as a store that keeps it has to know.

    nbytes  memory it takes
    device  where: "cpu", "cuda:0", ...
    """

    @property
    def nbytes(self) -> int: ...
    @property
    def device(self) -> Any: ...


@runtime_checkable
class EmbeddingFeatures(Protocol):
    """Features that hold one vector for each cell of a grid over the network's input.

    place  where the frame lies in that input
    """

    @property
    def place(self) -> Fitted: ...
    def embedding_map(self) -> NDArray[np.float32]:
        """(C, rows, columns), on the CPU."""
        ...


@dataclass(frozen=True, eq=False)
class ReferenceFrame:
    """A frame before and a structure's outline there: what it is followed from.

    features  of that frame, from the same predictor
    mask      bool (height, width)
    prompted  where a person prompted the structure, if that was not on this frame
    """

    features: Features
    mask: NDArray[np.bool_]
    prompted: ReferenceFrame | None = None


@dataclass(frozen=True, eq=False)
class Query:
    """One structure asked for on a frame.

    prompts    what points at it
    previous   its outline so far on this frame, bool (height, width), to be corrected by the prompts
    reference  a frame before with its outline, to follow it from
    feedback   logits (h, w) of the outline so far, if this predictor gave it and offers logits
    """

    prompts: FramePrompts = field(default_factory=FramePrompts)
    previous: NDArray[np.bool_] | None = None
    reference: ReferenceFrame | None = None
    feedback: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Candidates:
    """Outlines of one structure, most plausible meanings of an ambiguous prompt.

    masks     bool (K, height, width), at the frame's resolution
    scores    float (K,), the predicted IoU of each, 0 to 1
    presence  probability, 0 to 1, that the structure is on this frame at all
    best      index of the outline to show first; a predictor may know more than the predicted IoU says
    logits    (K, h, w), low resolution, where the system wants them back with the next click; else None
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    presence: float = 1.0
    best: int = 0
    logits: NDArray[np.float32] | None = None

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The outline to show first: bool (height, width)."""
        return np.asarray(self.masks[self.best])

    @property
    def score(self) -> float:
        return float(self.scores[self.best])


class Predictor(Protocol):
    """What every model says of itself, whatever it works on."""

    @property
    def record(self) -> ModelRecord:
        """The model's name, version, file hash, license and preprocessing, as written into manifests."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    @property
    def window_rule(self) -> WindowRule:
        """How it decides the intensity window of a scan that nobody chose one for."""
        ...


class FramePredictor(Predictor, Protocol):
    """A promptable model of single frames; every system of the house that works on frames is one."""

    def encode(self, frame: Frame) -> Features:
        """Prepare a frame, gray or of three colors, of any data type; the costly part, done once."""
        ...

    def decode(self, features: Features, queries: Sequence[Query]) -> list[Candidates]:
        """Outline every structure asked for, together where the network can; one answer a query, in their order."""
        ...


@dataclass(frozen=True)
class ChainOptions:
    """How a structure is looked for on the next frame, by predictors that look in a window and give probabilities.

    search                 how many times as far as usual it may have gone; 1: as far as usual
    mask_threshold         probability from which on a pixel belongs to the structure
    propagation_threshold  probability from which on it is part of what the structure is followed from: over a half,
                           errors grow less
    """

    search: float = 1.0
    mask_threshold: float = 0.5
    propagation_threshold: float = 0.5


@dataclass(frozen=True, eq=False)
class ChainedCandidates(Candidates):
    """Outlines of a structure that was followed.

    confident  bool (height, width), the pixels of the best outline above ``propagation_threshold``; None: all of it
    """

    confident: NDArray[np.bool_] | None = None


class ChainingPredictor(Protocol):
    """A FramePredictor that can choose how a structure is looked for on the next frame."""

    def follow(
        self, features: Features, references: Sequence[ReferenceFrame], options: ChainOptions
    ) -> Sequence[ChainedCandidates]:
        """Outline every structure of ``references`` on another frame, together; one answer a reference."""
        ...


class RememberingPredictor(FramePredictor, Protocol):
    """A FramePredictor with a memory of frames."""

    @property
    def for_video(self) -> FramePredictor:
        """The same for frames of a video or volume, which its tracker may see otherwise than a picture on its own."""
        ...


class AutomaticPredictor(Protocol):
    """A FramePredictor that outlines what each of many clicks means: what automatic mask generation needs."""

    @property
    def record(self) -> ModelRecord: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def encode(self, frame: Frame) -> Features: ...

    def decode_clicks(
        self, features: Features, points: NDArray[np.float64], offset: float, min_mask_region_area: int = 0
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
        """Points (N, 2) -> masks (M, height, width), predicted IoU (M,), stability (M,); M is up to 3 N.

        min_mask_region_area  of holes and connected components, where ``AutomaticDefaults.tidies_logits`` says that
            they are removed here
        """
        ...
