"""What every tracker does: frames are pushed one at a time, and structures come and go on any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.tracking.trust import Signs


class Drift(StrEnum):
    """What looks wrong on a frame."""

    AREA = "area jumped"
    APPEARANCE = "looks different"
    SCORE = "model unsure"
    SIZE = "larger than where it was pointed at"
    PLACE = "far from where it was pointed at"
    FADED = "hardly stands out"
    DISTANCE = "many frames from the prompt"
    LOST = "not found"


@dataclass(frozen=True, eq=False)
class Step:
    """One structure on one frame.

    mask        bool (height, width); empty where it was not found
    confidence  0 to 1
    drift       what looks wrong, if anything
    signs       what the confidence was made of, where it was followed and found
    """

    mask: NDArray[np.bool_]
    confidence: float
    drift: tuple[Drift, ...] = ()
    signs: Signs | None = None

    @property
    def lost(self) -> bool:
        return Drift.LOST in self.drift


class Tracker(Protocol):
    """Follows named structures, whatever it remembers of them: the last outline, earlier frames, or their names.

    ``push`` is the primitive; files, folders and cameras are loops around it.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The structures being followed."""
        ...

    def push(self, frame: Frame, reverse: bool = False) -> Mapping[str, Step]:
        """Take the next frame and outline every structure on it.

        A frame without an index comes after the last one (before it if ``reverse``).
        """
        ...

    def add(self, name: str, prompts: FramePrompts, score: float = 1.0) -> Step:
        """Point at a structure on the frame pushed last, or correct it there; it is followed from here on.

        An outline that is given is taken as it is; ``score`` says how sure it is. Raises PromptError where no frame was
        pushed yet.
        """
        ...

    def remove(self, name: str) -> None:
        """Stop following a structure, and forget it."""
        ...

    def suspend(self, name: str) -> None:
        """Stop following a structure; where it is added again, what is remembered of it counts too."""
        ...

    def resume(self, name: str, mask: NDArray[np.bool_], score: float = 1.0) -> bool:
        """Follow a suspended structure again from the frame pushed last; False where it was not prompted there.

        mask   its outline there, bool (height, width)
        score  how sure that is
        """
        ...
