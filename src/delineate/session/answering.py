"""How a session's predictor is asked: frame by frame, for a whole scan, or without a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import PromptError
from delineate.core.resolve import ResolvedPrompt
from delineate.core.scan import Scan
from delineate.core.volume_prompts import VolumePrompts
from delineate.predictors import answers
from delineate.predictors.answers import classified, segmented
from delineate.predictors.capabilities import PromptKind, Propagation, Scope
from delineate.predictors.frame_predictor import Candidates, FramePredictor, Predictor, RememberingPredictor
from delineate.predictors.scan_predictors import DensePredictor, VolumePredictor

MaskArray = NDArray[np.bool_]
ClassOutline = tuple[str, MaskArray, float]  # class, outline and confidence


class Answering(Protocol):
    """What a session has to know of a predictor.

    across  whether a prompt may cross frames
    """

    across: bool

    def prompted(
        self, name: str, placed: Sequence[ResolvedPrompt], on_frame: Callable[[], Candidates]
    ) -> Mapping[int, Candidates]:
        """The outlines of an object by frame, given all its prompts, the newest last.

        ``on_frame`` asks about the frame of the newest prompt alone. Nothing is asked about an outline that was drawn,
        unless other frames depend on it.
        """
        ...

    def classes(self) -> Iterator[tuple[int, list[ClassOutline]]]:
        """Frames, one at a time, with everything that is outlined there without a prompt.

        Raises PromptError for predictors that need one.
        """
        ...


@dataclass(frozen=True)
class _OnFrames:
    predictor: Predictor
    scan: Scan
    across = False

    def prompted(
        self, name: str, placed: Sequence[ResolvedPrompt], on_frame: Callable[[], Candidates]
    ) -> Mapping[int, Candidates]:
        return {} if placed[-1].prompts.drawn is not None else {placed[-1].frame: on_frame()}

    def classes(self) -> Iterator[tuple[int, list[ClassOutline]]]:
        raise PromptError(
            "E-PREDICT-PROMPT",
            f"{self.predictor.record.name} outlines what is prompted, and nothing is.",
            "Point with a box or a click, or take a system with classes of its own: delineate systems",
        )


@dataclass(frozen=True)
class _InVolume(_OnFrames):
    across = True

    def prompted(
        self, name: str, placed: Sequence[ResolvedPrompt], on_frame: Callable[[], Candidates]
    ) -> Mapping[int, Candidates]:
        queries = {name: VolumePrompts.of(placed)}
        return segmented(cast(VolumePredictor, self.predictor), self.scan, queries).get(name, {})


@dataclass(frozen=True)
class _Dense(_OnFrames):
    def classes(self) -> Iterator[tuple[int, list[ClassOutline]]]:
        names = class_names(self.predictor)
        for frame, values in classified(cast(DensePredictor, self.predictor), self.scan):
            labels, sureness = _labels(values)
            masks = {int(number): labels == number for number in np.unique(labels[labels > 0])}
            yield frame, [(names[n - 1], mask, float(sureness[mask].mean())) for n, mask in masks.items()]


def answering_on(scan: Scan, predictor: FramePredictor) -> FramePredictor:
    """The predictor as it answers on this scan: one that remembers frames sees those of a video as its tracker does."""
    if predictor.capabilities.follows is Propagation.MEMORY and len(scan) > 1:
        return cast(RememberingPredictor, predictor).for_video
    return predictor


def answering_for(predictor: Predictor, scan: Scan) -> Answering:
    """How a session asks this predictor, as its capabilities say."""
    kinds = {Scope.FRAME: _OnFrames, Scope.VOLUME: _InVolume, Scope.DENSE: _Dense}
    return cast(Answering, kinds[predictor.capabilities.scope](predictor, scan))


def require_answered(predictor: Predictor, kind: PromptKind) -> None:
    """Raise PromptError for a kind of prompt that a predictor does not answer."""
    kinds, name = predictor.capabilities.prompts, predictor.record.name
    if kind in kinds:
        return
    if not kinds:
        raise PromptError(
            "E-PROMPT-DENSE",
            f"{name} outlines its classes without prompts, and answers none.",
            "Leave the prompt out, draw the outline as a mask, or take a system that is prompted: delineate systems",
        )
    if kind is PromptKind.TEXT:
        raise PromptError(
            "E-PROMPT-TEXT",
            f"{name} takes no words.",
            "Point with a box or a click, or take a system that reads: --model medsam_text",
        )
    taken = ", ".join(sorted("words" if one is PromptKind.TEXT else one.value for one in kinds))
    raise PromptError(
        "E-PROMPT-UNANSWERED",
        f"{name} takes {taken} only, and this is a {kind}.",
        "Prompt it with what it takes, or take another system: delineate systems",
    )


def class_names(predictor: Predictor) -> tuple[str, ...]:
    """The structures a predictor outlines without a prompt; none for those that are prompted."""
    return answers.class_names(cast(DensePredictor, predictor)) if predictor.capabilities.scope is Scope.DENSE else ()


def _labels(values: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """What a dense predictor says of a frame as labels (height, width), and the probability of each."""
    if values.ndim == 2:
        return values.astype(np.intp), np.ones(values.shape)
    logits = values.astype(np.float64)
    odds = np.exp(logits - logits.max(axis=0))
    return logits.argmax(axis=0), odds.max(axis=0) / odds.sum(axis=0)
