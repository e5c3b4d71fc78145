"""Volumes for prompted networks whose adapters look from slice to slice: clips of slices are embedded together."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.core.volume_prompts import VolumePrompts
from delineate.predictors.capabilities import VISUAL_PROMPTS, Capabilities, NetworkKind, Scope
from delineate.predictors.frame_predictor import (
    Candidates,
    Features,
    FramePredictor,
    Query,
    ReferenceFrame,
    StorableFeatures,
)
from delineate.preprocess.intensity import WindowRule

KEPT_BYTES = 1 << 30  # of embedded clips
LOST = 2  # slices without it, after which a structure has ended


class ClipEncoder(FramePredictor, Protocol):
    """A FramePredictor that embeds frames together."""

    def encode_clip(self, frames: Sequence[Frame]) -> Sequence[Features]:
        """Prepare frames that follow each other; features of each."""
        ...


class EmbeddedClips:
    """Features of slices, a clip at a time, those used last kept up to so many bytes."""

    def __init__(self, predictor: ClipEncoder, depth: int, limit: int = KEPT_BYTES) -> None:
        self._predictor, self._depth, self._limit = predictor, depth, limit
        self._kept: OrderedDict[tuple[int, int], tuple[Scan, Sequence[Features]]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, scan: Scan, frame: int) -> Features:
        """Features of one slice, from the clip it lies in."""
        first, stop = clip_of(frame, len(scan), self._depth)
        with self._lock:
            key = id(scan), first
            if key not in self._kept:
                frames = [scan.frame(n) for n in range(first, stop)]
                self._kept[key] = scan, self._predictor.encode_clip(frames)
                while len(self._kept) > 1 and self._bytes() > self._limit:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key][1][frame - first]

    def _bytes(self) -> int:
        features = (one for _, clip in self._kept.values() for one in clip)
        return sum(one.nbytes if isinstance(one, StorableFeatures) else 0 for one in features)


def clip_of(frame: int, frames: int, depth: int) -> tuple[int, int]:
    """The clip that a slice lies in: its first slice, and the one behind its last.

    As few clips as can be, of ``depth`` slices at most, even to a slice: none lies in two, so none is embedded twice.
    """
    clips = -(-frames // depth)
    number = ((frame + 1) * clips - 1) // frames
    return number * frames // clips, (number + 1) * frames // clips


@dataclass(frozen=True, eq=False)
class ClipVolumePredictor:
    """A VolumePredictor: every prompted slice is outlined from its prompts, in a 3D box every slice of it.

    Without a 3D box the structure is followed from the prompted slices outwards, each outline prompting the next one,
    until it is not found on two slices.

    depth  slices that are embedded together
    """

    frames: ClipEncoder
    depth: int
    _clips: EmbeddedClips = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_clips", EmbeddedClips(self.frames, self.depth))

    @property
    def capabilities(self) -> Capabilities:
        trained = (
            NetworkKind.SLICES if self.frames.capabilities.network in (NetworkKind.SAM, NetworkKind.SAM2) else None
        )
        return Capabilities(VISUAL_PROMPTS, Scope.VOLUME, follows=None, network=trained)

    @property
    def record(self) -> ModelRecord:
        return self.frames.record

    @property
    def window_rule(self) -> WindowRule:
        return self.frames.window_rule

    def segment(self, scan: Scan, queries: Mapping[str, VolumePrompts]) -> Mapping[str, Mapping[int, Candidates]]:
        """Outlines by name and slice."""
        return {name: self._outlined(scan, prompts) for name, prompts in queries.items()}

    def _outlined(self, scan: Scan, prompts: VolumePrompts) -> dict[int, Candidates]:
        found: dict[int, Candidates] = {}
        asked = {n: one for n, one in prompts_by_frame(prompts, len(scan)).items() if one.drawn is None}
        for frame, one in asked.items():
            if one.says_where:
                found[frame] = self._answer(scan, frame, Query(one))
        if not any(stop - first > 1 for _, _, first, _, _, stop in prompts.boxes):
            seeds = {frame: one.mask for frame, one in found.items()} | dict(prompts.masks)
            for frame, answer in self._followed(scan, seeds):
                found[frame] = answer
        for frame, one in asked.items():  # clicks beside a structure correct what was followed to their slice
            if not one.says_where and frame in found:
                found[frame] = self._answer(scan, frame, Query(one, previous=found[frame].mask))
        return {frame: one for frame, one in found.items() if one.mask.any()}

    def _answer(self, scan: Scan, frame: int, query: Query) -> Candidates:
        (answer,) = self.frames.decode(self._clips.of(scan, frame), [query])
        return answer

    def _followed(self, scan: Scan, seeds: Mapping[int, np.ndarray]) -> Iterator[tuple[int, Candidates]]:
        """Outlines on the other slices, each from the prompted slice nearest to it."""
        for seed in sorted(seeds):
            for step in (1, -1):
                mask, lost = seeds[seed], 0
                for frame in territory(seed, step, sorted(seeds), len(scan)):
                    if not mask.any() or lost == LOST:
                        break
                    reference = ReferenceFrame(self._clips.of(scan, frame - step), mask)
                    answer = self._answer(scan, frame, Query(reference=reference))
                    if not (answer.mask & mask).any():
                        lost += 1
                        continue
                    mask, lost = answer.mask, 0
                    yield frame, answer


def territory(seed: int, step: int, seeds: Sequence[int], frames: int) -> range:
    """Slices that are nearer to a prompted slice than to any other, one way; halves go to the lower."""
    if step > 0:
        later = [other for other in seeds if other > seed]
        return range(seed + 1, (seed + later[0]) // 2 + 1 if later else frames)
    earlier = [other for other in seeds if other < seed]
    return range(seed - 1, (earlier[-1] + seed) // 2 if earlier else -1, -1)


def prompts_by_frame(prompts: VolumePrompts, frames: int) -> dict[int, FramePrompts]:
    """What is said of each slice: the last box that holds it, its clicks, its drawn outline."""
    boxes: dict[int, tuple[float, float, float, float]] = {}
    for x0, y0, first, x1, y1, stop in prompts.boxes:
        boxes |= dict.fromkeys(range(max(0, int(first)), min(frames, int(stop))), (x0, y0, x1, y1))
    at = np.rint(prompts.points[:, 2]).astype(int)
    return {
        n: FramePrompts(prompts.points[at == n, :2], prompts.labels[at == n], boxes.get(n), prompts.masks.get(n))
        for n in sorted({*boxes, *at.tolist(), *prompts.masks})
    }
