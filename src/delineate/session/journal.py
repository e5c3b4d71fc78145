"""A propagation frame by frame, as plain data on disk: a run that was stopped goes on with exactly the rest."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from delineate.core.prompt_log import Propagate
from delineate.tracking.propagate import Direction, Followed, VisitedFrame
from delineate.tracking.resuming import SeenRecord, SweepPosition, SweepRecord
from delineate.tracking.tracker import Drift, Step


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FollowedRecord(_Record):
    """One structure on one frame, as it was followed there."""

    name: str
    anchor: int
    seen: SeenRecord
    confidence: float
    drift: tuple[Drift, ...] = ()
    ended: bool = False


class VisitedRecord(_Record):
    """A frame that was visited."""

    frame: int
    direction: Direction
    done: int
    total: int
    followed: tuple[FollowedRecord, ...]

    @classmethod
    def of(cls, visited: VisitedFrame) -> Self:
        followed = tuple(
            FollowedRecord(
                name=one.name,
                anchor=one.anchor,
                seen=SeenRecord.of(one.frame, one.step.mask),
                confidence=one.step.confidence,
                drift=one.step.drift,
                ended=one.ended,
            )
            for one in visited.followed
        )
        return cls(
            frame=visited.frame,
            direction=visited.direction,
            done=visited.done,
            total=visited.total,
            followed=followed,
        )

    @property
    def visited(self) -> VisitedFrame:
        followed = tuple(
            Followed(
                one.name,
                self.frame,
                one.anchor,
                self.direction,
                Step(np.asarray(one.seen.mask), one.confidence, one.drift),
                one.ended,
            )
            for one in self.followed
        )
        return VisitedFrame(self.frame, self.direction, followed, self.done, self.total)


class Journal(_Record):
    """What a propagation found so far, and where it stands; only what is not in it is followed.

    sweep  None where the tracker cannot be written down: such a propagation begins anew
    """

    event: Propagate
    visited: list[VisitedRecord] = Field(default_factory=list)
    sweep: SweepRecord | None = None
    finished: bool = False
    _position: SweepPosition = PrivateAttr(default_factory=SweepPosition)

    @property
    def position(self) -> SweepPosition:
        return self._position

    def add(self, visited: VisitedFrame) -> None:
        self.visited.append(VisitedRecord.of(visited))

    @model_validator(mode="after")
    def _begins_anew(self) -> Self:
        """What was followed by a tracker that cannot be taken up is followed again."""
        if not self.finished and self.sweep is None:
            self.visited.clear()
        return self

    def stand(self) -> None:
        """Put down where the sweep stands; between two frames alone."""
        if self._position.tracker is None:
            return  # not a frame was visited since it was read
        self.sweep = self._position.record()
