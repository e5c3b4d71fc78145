"""What a model that outlines structures on single frames must do. numpy at this border, whatever runs behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from delineate.frame import Frame
from delineate.manifest import ModelRecord
from delineate.placing import FramePrompts
from delineate.preprocess.intensity import WindowRule

Features = Any  # what a predictor made of a frame; opaque, cacheable


@dataclass(frozen=True, eq=False)
class EarlierFrame:
    """A neighbouring frame and the structure's outline there: what a predictor is told when it follows a structure.

    features  of that frame, from the same predictor
    mask      bool (height, width)
    pointed   where a person pointed at the structure, if that was not on this frame
    search    how many times as far as usual it may have gone, for predictors that do not look at whole frames
    certainty the probability from which on a place is taken for the structure, for predictors that give one
    relied    the probability from which on it is relied on, where the structure is followed on from here
    """

    features: Features
    mask: NDArray[np.bool_]
    pointed: EarlierFrame | None = None
    search: float = 1.0
    certainty: float = 0.5
    relied: float = 0.5


@dataclass(frozen=True, eq=False)
class Candidates:
    """Outlines of one structure, most plausible meanings of an ambiguous prompt.

    masks     bool (K, height, width), at the frame's resolution
    scores    float (K,), the predicted IoU of each, 0 to 1
    presence  probability, 0 to 1, that the structure is on this frame at all
    best      index of the outline to show first; a predictor may know more than the predicted IoU says
    logits    (K, h, w), low resolution, where the system wants them back with the next click; else None
    sure      bool (height, width), what of the best outline can be relied on in following; None: all of it
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    presence: float = 1.0
    best: int = 0
    logits: NDArray[np.float32] | None = None
    sure: NDArray[np.bool_] | None = None

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The outline to show first: bool (height, width)."""
        return np.asarray(self.masks[self.best])

    @property
    def score(self) -> float:
        return float(self.scores[self.best])


class FramePredictor(Protocol):
    """A promptable model of single frames; every system of the house that works on frames is one."""

    @property
    def record(self) -> ModelRecord:
        """The model's name, version, file hash, licence and preprocessing, as written into manifests."""
        ...

    @property
    def window_rule(self) -> WindowRule:
        """How it decides the intensity window of a scan that nobody chose one for."""
        ...

    def encode(self, frame: Frame) -> Features:
        """Prepare a frame, gray or of three colors, of any data type; the costly part, done once."""
        ...

    def decode(
        self,
        features: Features,
        prompts: FramePrompts,
        previous: NDArray[np.bool_] | None = None,
        earlier: EarlierFrame | None = None,
        feedback: NDArray[np.float32] | None = None,
    ) -> Candidates:
        """Outline what the prompts point at.

        previous  the outline so far on this frame, bool (height, width), to be corrected by the prompts
        earlier   a neighbouring frame with its outline, to follow the structure from
        feedback  logits (h, w) of the outline so far, if this predictor gave it and offers logits
        """
        ...
