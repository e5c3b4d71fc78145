"""The tracker that a predictor follows structures with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from delineate.core.frame import Frame
from delineate.core.propagation_options import MemoryRule, PropagationOptions
from delineate.predictors.capabilities import Propagation
from delineate.predictors.frame_predictor import Features, FramePredictor
from delineate.tracking.chain import ChainTracker
from delineate.tracking.guards import GuardSettings
from delineate.tracking.tracker import Tracker
from delineate.tracking.words import WordTracker

if TYPE_CHECKING:
    from delineate.predictors.sam2 import Sam2Predictor


def tracker_for(
    predictor: FramePredictor,
    guards: GuardSettings | None = None,
    following: PropagationOptions | None = None,
    frames: int | None = None,
    encode: Callable[[Frame], Features] | None = None,
) -> Tracker:
    """A tracker with nothing to follow yet, as the predictor's capabilities say: chaining, with memory, or by name.

    guards     when an outline is doubted
    following  how; a predictor with memory can also chain
    frames     in all, where known
    encode     the predictor's ``encode``, by way of where encoded frames are kept
    Raises PromptError for a way of following the predictor does not have.
    """
    guards, how = guards or GuardSettings(), following or PropagationOptions()
    follows = predictor.capabilities.follows
    if follows is Propagation.MEMORY and how.memory != MemoryRule.CHAIN:
        from delineate.tracking.memory_tracker import MemoryTracker  # torch, which such a predictor has loaded

        return MemoryTracker.of(cast("Sam2Predictor", predictor), how, frames, guards)
    how.require_plain(predictor.record.name)
    return (WordTracker if follows is Propagation.WORDS else ChainTracker)(predictor, guards, encode)
