"""Where following stands between two frames, as plain data: a run that was stopped goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.predictors.frame_predictor import ReferenceFrame
from delineate.tracking.chain import ChainTracker
from delineate.tracking.guards import Appearance, KnownStructure
from delineate.tracking.tracker import Tracker


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SeenRecord(_Record):
    """An outline on a frame, by its number."""

    frame: int
    height: int
    width: int
    counts: tuple[int, ...]

    @classmethod
    def of(cls, frame: int, mask: NDArray[np.bool_]) -> SeenRecord:
        rle = Rle.encode(mask)
        return cls(frame=frame, height=rle.height, width=rle.width, counts=tuple(map(int, rle.counts)))

    @property
    def mask(self) -> NDArray[np.bool_]:
        return Rle(self.height, self.width, np.asarray(self.counts)).decode()


class StructureRecord(_Record):
    """What a ChainTracker and its guard know of a structure.

    anchor  the frame it is followed from in this sweep; missed: frames it was not found on since
    """

    last: SeenRecord
    prompted: SeenRecord | None
    inside: float
    outside: float
    spread: float
    color: tuple[float, ...]
    around: tuple[float, ...]
    middle: tuple[float, float]
    begun: float
    passed: int
    area: int
    last_area: int
    anchor: int
    missed: int


class SweepRecord(_Record):
    """A sweep as it stands after a frame."""

    direction: str
    frame: int
    structures: dict[str, StructureRecord]


@dataclass
class SweepPosition:
    """Where the sweep that is going on stands; kept up to date while it goes on.

    following  structures and the frames of the anchors they are followed from; missed: as in StructureRecord
    """

    tracker: Tracker | None = None
    direction: str = ""
    frame: int = -1
    following: Mapping[str, int] = field(default_factory=dict)
    missed: Mapping[str, int] = field(default_factory=dict)

    def record(self) -> SweepRecord | None:
        """None where the tracker remembers more than can be written down: memories of frames, words."""
        if not isinstance(self.tracker, ChainTracker):
            return None
        return SweepRecord(
            direction=self.direction,
            frame=self.frame,
            structures={name: self._structure(self.tracker, name) for name in self.tracker.names},
        )

    def _structure(self, tracker: ChainTracker, name: str) -> StructureRecord:
        last, known = tracker.last_seen(name), tracker.guard.known(name)
        last_at, prompted_at = tracker.places[name]
        prompted = None if last.prompted is None else SeenRecord.of(prompted_at, last.prompted.mask)
        look = known.look
        return StructureRecord(
            last=SeenRecord.of(last_at, last.mask),
            prompted=prompted,
            inside=look.inside,
            outside=look.outside,
            spread=look.spread,
            color=look.color,
            around=look.around,
            middle=known.middle,
            begun=known.begun,
            passed=known.passed,
            area=known.area,
            last_area=known.last_area,
            anchor=self.following[name],
            missed=self.missed[name],
        )


def take_up(tracker: Tracker, record: SweepRecord, scan: Scan) -> None:
    """Have a new tracker know what the recorded one knew; frames are read and encoded again."""
    assert isinstance(tracker, ChainTracker)
    for name, one in record.structures.items():
        prompted = None
        if one.prompted is not None:
            features = tracker.encoded(scan.frame(one.prompted.frame))
            prompted = ReferenceFrame(features, one.prompted.mask)
        last = ReferenceFrame(tracker.encoded(scan.frame(one.last.frame)), one.last.mask, prompted)
        places = one.last.frame, one.last.frame if one.prompted is None else one.prompted.frame
        look = Appearance(one.inside, one.outside, one.spread, one.color, one.around)
        known = KnownStructure(look, one.area, one.last_area, one.middle, one.begun, one.passed)
        tracker.take_up(name, last, places, known)
