"""Following structures by name: every frame is asked for the same words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.predictors.answers import decoded
from delineate.predictors.frame_predictor import Features, FramePredictor, Query
from delineate.tracking.guards import Guard, GuardSettings
from delineate.tracking.tracker import Step


@dataclass
class WordTracker:
    """A Tracker that remembers what each structure is called; for predictors that read.

    encode  the predictor's ``encode``, by way of where encoded frames are kept; None: the predictor's own
    """

    predictor: FramePredictor
    guards: GuardSettings = field(default_factory=GuardSettings)
    encode: Callable[[Frame], Features] | None = None
    _words: dict[str, str] = field(default_factory=dict)
    _frame: Frame | None = None

    def __post_init__(self) -> None:
        self._guard = Guard(self.guards)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._words)

    def push(self, frame: Frame, reverse: bool = False) -> Mapping[str, Step]:
        self._frame = frame
        if not self._words:
            return {}
        features = (self.encode or self.predictor.encode)(frame)
        queries = [Query(FramePrompts(text=words)) for words in self._words.values()]
        answers = zip(self._words, decoded(self.predictor, features, queries, frame.pixels.shape[:2]), strict=True)
        return {name: self._guard.judge(name, frame, answer) for name, answer in answers}

    def add(self, name: str, prompts: FramePrompts, score: float = 1.0) -> Step:
        """Begin with an outline and the words it was asked for with."""
        if self._frame is None:
            raise PromptError("E-TRACK-NO-FRAME", "There is no frame to point at yet.", "Push a frame first.")
        if prompts.text is None or prompts.mask is None:
            raise PromptError(
                "E-PROMPT-WORDS-ONLY",
                f'{self.predictor.record.name} follows by name, and nothing says what "{name}" is.',
                'Name the structure: --text "liver"',
            )
        step = self._guard.start(name, self._frame, prompts.mask, score)
        if not step.lost:
            self._words[name] = prompts.text
        return step

    def remove(self, name: str) -> None:
        self._words.pop(name, None)
        self._guard.forget(name)

    suspend = remove

    def resume(self, name: str, mask: NDArray[np.bool_], score: float = 1.0) -> bool:
        return False
