"""Following structures with a model of single frames: the last outline is the next prompt.

``push`` takes one frame and returns the outlines on it. Files, folders and cameras are loops around it. The
tracker keeps, for each structure, the frame it was last seen on and what it looked like where it was prompted;
nothing grows with the number of frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.predictors.answers import decoded, outlined
from delineate.predictors.frame_predictor import (
    Candidates,
    ChainedCandidates,
    ChainingPredictor,
    ChainOptions,
    Features,
    FramePredictor,
    Query,
    ReferenceFrame,
)
from delineate.tracking.guards import Guard, GuardSettings, KnownStructure, sureness
from delineate.tracking.tracker import Step


@dataclass
class ChainTracker:
    """Follows named structures through frames pushed one at a time; add, correct and remove them at any frame.

    encode  the predictor's ``encode``, by way of where encoded frames are kept; None: the predictor's own
    """

    predictor: FramePredictor
    guards: GuardSettings = field(default_factory=GuardSettings)
    encode: Callable[[Frame], Features] | None = None
    _last: dict[str, ReferenceFrame] = field(default_factory=dict)  # where each structure was last seen
    _now: tuple[Frame, Features] | None = None

    places: dict[str, tuple[int, int]] = field(default_factory=dict)  # frames it was last seen and prompted on

    def __post_init__(self) -> None:
        self._guard = Guard(self.guards)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._last)

    def push(self, frame: Frame, reverse: bool = False) -> Mapping[str, Step]:
        features = self.encoded(frame)
        self._now = (frame, features)
        answers = self._answers(features, list(self._last.values()))
        return {
            name: self._step(name, frame, features, answer, jumped)
            for name, (answer, jumped) in zip(list(self._last), answers, strict=True)
        }

    def add(self, name: str, prompts: FramePrompts, score: float = 1.0) -> Step:
        """An outline that was drawn is taken; other prompts are answered, starting from the outline it has now."""
        if self._now is None:
            raise PromptError("E-TRACK-NO-FRAME", "There is no frame to point at yet.", "Push a frame first.")
        frame, features = self._now
        mask = prompts.drawn
        if mask is None:
            last = self._last.get(name)
            previous = last.mask if last is not None and last.features is features else None
            answer = decoded(self.predictor, features, [Query(prompts, previous)], frame.pixels.shape[:2])[0]
            mask, score = answer.mask, answer.score
        step = self._guard.start(name, frame, mask, score)
        if step.lost:
            self._last.pop(name, None)
        else:
            self._last[name] = ReferenceFrame(features, mask)
            self.places[name] = (_number(frame), _number(frame))
        return step

    def remove(self, name: str) -> None:
        self._last.pop(name, None)
        self._guard.forget(name)

    @property
    def guard(self) -> Guard:
        return self._guard

    def encoded(self, frame: Frame) -> Features:
        return (self.encode or self.predictor.encode)(frame)

    def last_seen(self, name: str) -> ReferenceFrame:
        return self._last[name]

    def take_up(self, name: str, last: ReferenceFrame, places: tuple[int, int], known: KnownStructure) -> None:
        """Go on following a structure that another tracker followed."""
        self._last[name], self.places[name] = last, places
        self._guard.take_up(name, known)

    suspend = remove

    def resume(self, name: str, mask: NDArray[np.bool_], score: float = 1.0) -> bool:
        return False

    def _answers(self, features: Features, references: Sequence[ReferenceFrame]) -> list[tuple[Candidates, bool]]:
        """What the model says of each structure, and whether it found it only where it was asked to look farther off.

        All structures are asked for together, and then those that were not found.
        """
        if not self.predictor.capabilities.chain_options:
            answers = decoded(self.predictor, features, [Query(reference=one) for one in references], self._size)
            return [(answer, False) for answer in answers]
        options = self.guards.chain
        chaining = cast(ChainingPredictor, self.predictor)
        near = self._followed(chaining, features, references, replace(options, search=1.0))
        missed = [n for n, answer in enumerate(near) if sureness(answer) < self.guards.presence]
        if options.search <= 1 or not missed:
            return [(answer, False) for answer in near]
        again = self._followed(chaining, features, [references[n] for n in missed], options)
        far = dict(zip(missed, again, strict=True))
        jumped = {n for n, answer in far.items() if sureness(answer) >= max(self.guards.presence, sureness(near[n]))}
        return [(far[n], True) if n in jumped else (answer, False) for n, answer in enumerate(near)]

    def _followed(
        self, chaining: ChainingPredictor, features: Features, references: Sequence[ReferenceFrame], how: ChainOptions
    ) -> list[ChainedCandidates]:
        def ask() -> Sequence[ChainedCandidates]:
            return chaining.follow(features, references, how)

        return outlined(self.predictor, ask, len(references), self._size)

    @property
    def _size(self) -> tuple[int, int] | None:
        return None if self._now is None else self._now[0].pixels.shape[:2]

    def _step(self, name: str, frame: Frame, features: Features, answer: Candidates, jumped: bool) -> Step:
        last = self._last[name]
        step = self._guard.judge(name, frame, answer, last.mask, jumped)
        if not step.lost:
            confident = answer.confident if isinstance(answer, ChainedCandidates) else None
            passed = step.mask if confident is None else step.mask & confident
            prompted = last.prompted or last
            self.places[name] = (_number(frame), self.places[name][1])
            self._last[name] = ReferenceFrame(features, passed if passed.any() else step.mask, prompted)
        return step


def _number(frame: Frame) -> int:
    """Of a frame in its scan; -1 where it has none."""
    return -1 if frame.index is None else frame.index
