"""Following structures with a model of single frames: the last outline is the next prompt.

``push`` takes one frame and returns the outlines on it. Files, folders and cameras are loops around it. The
tracker keeps, for each structure, the frame it was last seen on and what it looked like where it was pointed at;
nothing grows with the number of frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from delineate.errors import PromptError
from delineate.frame import Frame
from delineate.placing import FramePrompts
from delineate.runtimes.frame_predictor import (
    Candidates,
    ChainedCandidates,
    ChainingPredictor,
    Features,
    FramePredictor,
    Query,
    ReferenceFrame,
)
from delineate.tracking.guards import Appearance, Drift, GuardSettings, judge, resembling, within_reach

MaskArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Step:
    """One structure on one frame.

    mask        bool (height, width); empty where it was not found
    confidence  0 to 1
    drift       what looks wrong, if anything
    """

    mask: MaskArray
    confidence: float
    drift: tuple[Drift, ...] = ()

    @property
    def lost(self) -> bool:
        return Drift.LOST in self.drift


@dataclass(frozen=True, eq=False)
class _Memory:
    """What is remembered of one structure."""

    last: ReferenceFrame  # where it was last seen
    look: Appearance  # where it was pointed at
    area: int  # there


@dataclass
class ChainTracker:
    """Follows named structures through frames pushed one at a time; add, correct and remove them at any frame.

    encode  the predictor's ``encode``, by way of where encoded frames are kept; None: the predictor's own
    """

    predictor: FramePredictor
    guards: GuardSettings = field(default_factory=GuardSettings)
    encode: Callable[[Frame], Features] | None = None
    _memory: dict[str, _Memory] = field(default_factory=dict)
    _now: tuple[Frame, Features] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The structures being followed."""
        return tuple(self._memory)

    def push(self, frame: Frame) -> Mapping[str, Step]:
        """Take the next frame and outline every structure on it."""
        features = (self.encode or self.predictor.encode)(frame)
        self._now = (frame, features)
        answers = self._answers(features, [memory.last for memory in self._memory.values()])
        return {
            name: self._judged(name, frame, features, answer, jumped)
            for name, (answer, jumped) in zip(list(self._memory), answers, strict=True)
        }

    def add(self, name: str, prompts: FramePrompts | MaskArray) -> Step:
        """Point at a structure on the frame pushed last, or correct it there; it is followed from here on.

        A mask is taken as it is; other prompts are answered by the model, starting from the outline it has now.
        """
        if self._now is None:
            raise PromptError("E-TRACK-NO-FRAME", "There is no frame to point at yet.", "Push a frame first.")
        frame, features = self._now
        if isinstance(prompts, FramePrompts):
            known = self._memory.get(name)
            on_this = known is not None and known.last.features is features
            previous = known.last.mask if known is not None and on_this else None
            answer = self.predictor.decode(features, [Query(prompts, previous)])[0]
            mask, score = answer.mask, answer.score
        else:
            mask, score = np.asarray(prompts, dtype=bool), 1.0
        if mask.any():
            self._memory[name] = _Memory(
                ReferenceFrame(features, mask), Appearance.of(frame.pixels, mask), int(mask.sum())
            )
            return Step(mask, score)
        self._memory.pop(name, None)
        return Step(mask, 0.0, (Drift.LOST,))

    def remove(self, name: str) -> None:
        """Stop following a structure."""
        self._memory.pop(name, None)

    def _answers(self, features: Features, references: Sequence[ReferenceFrame]) -> list[tuple[Candidates, bool]]:
        """What the model says of each structure, and whether it found it only where it was asked to look farther off.

        All structures are asked for together, and then those that were not found.
        """
        if not self.predictor.capabilities.chain_options:
            answers = self.predictor.decode(features, [Query(reference=one) for one in references])
            return [(answer, False) for answer in answers]
        options = self.guards.chain
        chaining = cast(ChainingPredictor, self.predictor)
        near = chaining.follow(features, references, replace(options, search=1.0))
        missed = [n for n, answer in enumerate(near) if _sureness(answer) < self.guards.presence]
        if options.search <= 1 or not missed:
            return [(answer, False) for answer in near]
        far = dict(zip(missed, chaining.follow(features, [references[n] for n in missed], options), strict=True))
        jumped = {n for n, answer in far.items() if _sureness(answer) >= max(self.guards.presence, _sureness(near[n]))}
        return [(far[n], True) if n in jumped else (answer, False) for n, answer in enumerate(near)]

    def _judged(self, name: str, frame: Frame, features: Features, answer: Candidates, jumped: bool) -> Step:
        memory = self._memory[name]
        last = memory.last.mask
        reached = answer.mask if jumped else within_reach(answer.mask, last, self.guards.reach)
        mask = resembling(reached, last, frame.pixels, memory.look)
        area = int(mask.sum())
        if _sureness(answer) < self.guards.presence or area <= self.guards.least_area * memory.area:
            return Step(np.zeros_like(mask), 0.0, (Drift.LOST,))
        now = Appearance.of(frame.pixels, mask)
        if memory.look.change(now) > self.guards.gone:
            return Step(np.zeros_like(mask), 0.0, (Drift.LOST,))
        last_area = int(last.sum())
        found = int(answer.mask.sum())  # before it was cut to what it can have reached: a leak must show
        verdict = judge(answer.score * answer.presence, found, last_area, now, memory.look, self.guards)
        prompted = memory.last.prompted or memory.last
        confident = answer.confident if isinstance(answer, ChainedCandidates) else None
        passed = mask if confident is None else mask & confident
        self._memory[name] = replace(memory, last=ReferenceFrame(features, passed if passed.any() else mask, prompted))
        return Step(mask, verdict.confidence, verdict.drift)


def _sureness(answer: Candidates) -> float:
    """Mean of the probability that the structure is there and of the predicted IoU, 0 to 1."""
    return (answer.presence + answer.score) / 2
