"""What a session knows at one moment. A change makes a new state; undo goes back to an old one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from delineate.errors import Notice
from delineate.following import Following
from delineate.grid import Placement
from delineate.manifest import ObjectRecord
from delineate.placing import Placed
from delineate.rle import Rle
from delineate.runtimes.frame_predictor import Candidates
from delineate.scan import Scan, ScanKind
from delineate.segmentation import Segmentation, SegmentedObject


@dataclass(frozen=True)
class FollowedFrom:
    """An outline that was followed, the frames ``first`` to ``stop`` it answered for, and how."""

    outline: Rle
    first: int
    stop: int
    following: Following

    def covers(self, wanted: FollowedFrom) -> bool:
        """Whether following it again would give nothing new."""
        same = self.outline == wanted.outline and self.following == wanted.following
        return same and self.first <= wanted.first and wanted.stop <= self.stop


@dataclass(frozen=True, eq=False)
class ObjectTrack:
    """What is known of one object beside its masks.

    placed    its prompts, where they landed, in order
    prompted  outlines the prompts gave, by frame: what it is followed from
    followed  for each of these frames, how it was followed from there last
    warnings  what looked wrong, by frame
    ended     frames where following it stopped, and the direction
    """

    placed: tuple[Placed, ...] = ()
    prompted: Mapping[int, Rle] = field(default_factory=dict)
    followed: Mapping[int, FollowedFrom] = field(default_factory=dict)
    warnings: Mapping[int, str] = field(default_factory=dict)
    ended: Mapping[int, str] = field(default_factory=dict)

    @property
    def span(self) -> tuple[int, int] | None:
        """The frames a 3D box allows."""
        spans = [p.span for p in self.placed if p.span]
        return (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None

    def words(self, frame: int) -> str | None:
        """What the object was called on a frame, last."""
        return next((p.prompts.text for p in self.placed[::-1] if p.frame == frame and p.prompts.text), None)


@dataclass(frozen=True, eq=False)
class SessionState:
    """Outlines, prompts and answers at one moment.

    candidates  the outlines the model offered for (object, frame)
    notices     what was said of the prompts
    """

    segmentation: Segmentation
    tracks: Mapping[str, ObjectTrack]
    candidates: Mapping[tuple[str, int], Candidates] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()

    def with_track(self, name: str, track: ObjectTrack) -> SessionState:
        return replace(self, tracks={**self.tracks, name: track})


def object_record(one: SegmentedObject, track: ObjectTrack, scan: Scan) -> ObjectRecord:
    """What the manifest says of one object."""
    size = round(one.area * scan.grid.voxel_volume, 3)
    return ObjectRecord(
        name=one.name,
        label=one.label,
        frames=len(one.frames),
        pixels=one.area,
        volume_mm3=size if scan.kind is ScanKind.VOLUME and scan.grid.placement is not Placement.PIXELS else None,
        confidence={frame: round(score, 4) for frame, score in sorted(one.scores.items())},
        prompted=sorted(track.prompted),
        ended=dict(sorted(track.ended.items())),
        warnings=dict(sorted(track.warnings.items())),
    )
