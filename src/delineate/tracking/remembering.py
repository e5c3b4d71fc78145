"""Following structures with a model that remembers earlier frames; the same steps as chaining gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from delineate.frame import Frame
from delineate.placing import FramePrompts
from delineate.tracking.chain import Step
from delineate.tracking.guards import Appearance, Drift, GuardSettings, judge

ABSENT = 0.5  # probability of being there below which an object is lost


class TrackedObject(Protocol):
    """What a tracker with memory says of one object on one frame."""

    @property
    def mask(self) -> NDArray[np.bool_]: ...
    @property
    def score(self) -> float: ...
    @property
    def present(self) -> float: ...


class FrameTracker(Protocol):
    """A tracker with memory: frames are pushed one at a time."""

    def push(self, frame: Frame, reverse: bool = False) -> Mapping[str, TrackedObject]: ...
    def add(self, name: str, prompts: FramePrompts | NDArray[np.bool_]) -> TrackedObject: ...
    def remove(self, name: str) -> None: ...
    def rest(self, name: str) -> None: ...


@dataclass
class RememberingTracker:
    """``ChainTracker``'s interface over a tracker with memory: its outlines are judged, not changed."""

    tracker: FrameTracker
    guards: GuardSettings = field(default_factory=GuardSettings)
    _frame: Frame | None = None
    _looks: dict[str, Appearance] = field(default_factory=dict)
    _areas: dict[str, int] = field(default_factory=dict)

    def push(self, frame: Frame, reverse: bool = False) -> Mapping[str, Step]:
        """Take a frame and outline every structure on it.

        A frame without an index comes after the last one (before it if ``reverse``).
        """
        self._frame = frame
        found = self.tracker.push(frame, reverse)
        return {name: self._step(name, frame, one) for name, one in found.items()}

    def add(self, name: str, prompts: FramePrompts | NDArray[np.bool_]) -> Step:
        """Point at a structure on the frame pushed last, or correct it there."""
        assert self._frame is not None
        one = self.tracker.add(name, prompts)
        if not one.mask.any():
            self.remove(name)
            return Step(one.mask, 0.0, (Drift.LOST,))
        self._looks[name], self._areas[name] = Appearance.of(self._frame.pixels, one.mask), int(one.mask.sum())
        return Step(one.mask, one.score)

    def remove(self, name: str) -> None:
        """Stop following a structure."""
        self.tracker.remove(name)
        self._looks.pop(name, None)
        self._areas.pop(name, None)

    def rest(self, name: str) -> None:
        """Stop following a structure, and go on from what is remembered of it when it is added again."""
        self.tracker.rest(name)
        self._looks.pop(name, None)
        self._areas.pop(name, None)

    def _step(self, name: str, frame: Frame, one: TrackedObject) -> Step:
        area = int(one.mask.sum())
        if one.present < ABSENT or not area:
            return Step(np.zeros_like(one.mask), 0.0, (Drift.LOST,))
        now = Appearance.of(frame.pixels, one.mask)
        verdict = judge(one.score * one.present, area, self._areas[name], now, self._looks[name], self.guards)
        self._areas[name] = area
        return Step(one.mask, verdict.confidence, verdict.drift)
