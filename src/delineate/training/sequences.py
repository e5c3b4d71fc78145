"""Clips of labeled scans: a few frames or slices in a row, and the objects that are on the first of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from delineate.core.errors import ModelError
from delineate.core.frame import Frame
from delineate.data.cases import LEAST_PIXELS, Case, LabeledScan, Task
from delineate.preprocess.fitting import Fitted
from delineate.preprocess.intensity import eight_bit
from delineate.preprocess.profiles import Profile
from delineate.training.frames import learned_and_held_out, nothing_to_learn, trainable_frames
from delineate.training.left_out import leave_out
from delineate.training.shelf import LRUCache, opened_scans

Drawn = TypeVar("Drawn")
TRIES = 4  # of a random view before a clip is left as it is


@dataclass(frozen=True)
class SequenceAugmentation:
    """One random view of all frames of a clip, and a little jitter of each (SAM 2's fine-tuning configuration).

    flip                           chance of left and right exchanged
    degrees, shear                 turned and sheared by up to so many degrees
    brightness, contrast, color   factors 1 +- so much, the same for the clip
    gray                           chance of no colors
    of_each                        the same three factors for each frame by itself
    """

    flip: float = 0.5
    degrees: float = 25.0
    shear: float = 20.0
    brightness: float = 0.1
    contrast: float = 0.03
    color: float = 0.03
    gray: float = 0.05
    of_each: tuple[float, float, float] = (0.1, 0.05, 0.05)


@dataclass(frozen=True)
class SequenceOptions:
    """Which clips are drawn.

    frames   in a row, at most; a single image is a clip of one
    objects  at most, of those visible on the first frame
    reverse  chance of going backwards
    stride   1 to so many frames from one to the next
    augment  None: as they are
    """

    frames: int = 8
    objects: int = 3
    reverse: float = 0.5
    stride: int = 1
    augment: SequenceAugmentation | None = None

    def __post_init__(self) -> None:
        if min(self.frames, self.objects, self.stride) < 1 or not 0 <= self.reverse <= 1:
            raise ModelError(
                "E-TRAIN-OPTION", f"These make no clips: {self}.", "Numbers are 1 or more, the chance is 0 to 1."
            )


@dataclass(frozen=True, eq=False)
class FrameSequence:
    """A clip as the network sees it.

    pixels     (T, 3, S, S), or None where they are not wanted
    truth      (O, T, S, S); every object is on the first frame
    source     number of the labeled scan it is of
    positions  its frames there, among those with labels
    """

    pixels: Tensor | None
    truth: NDArray[np.bool_]
    source: int
    positions: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SequenceSource:
    """A labeled scan that clips are taken from. It is opened when it is first drawn, its frames when they are.

    number  among the scans of a run
    shelf   where opened scans stay for a while
    """

    case: Case
    number: int
    shelf: LRUCache[LabeledScan] = field(default_factory=opened_scans)

    @property
    def opened(self) -> LabeledScan:
        return self.shelf.get(self.number, self.case.open)

    @cached_property
    def areas(self) -> tuple[dict[int, int], ...]:
        """Label values of at least LEAST_PIXELS pixels with their pixels, for each labeled frame.

        There are none of a scan that cannot be read.
        """
        try:
            return self._areas()
        except Exception as error:
            leave_out(self.case, error)
            return ()

    def leave_out(self, error: Exception) -> None:
        """Go on without this scan: one of its frames cannot be read."""
        leave_out(self.case, error)
        vars(self).update(areas=(), visible=())

    def _areas(self) -> tuple[dict[int, int], ...]:
        found = []
        for n in range(len(self.opened.frames)):
            values, areas = np.unique(self.opened.labels_on(n), return_counts=True)
            pairs = zip(values.tolist(), areas.tolist(), strict=True)
            found.append({value: area for value, area in pairs if value > 0 and area >= LEAST_PIXELS})
        return tuple(found)

    @cached_property
    def visible(self) -> tuple[frozenset[int], ...]:
        return tuple(frozenset(seen) for seen in self.areas)

    def drawn(
        self, rng: np.random.Generator, options: SequenceOptions, profile: Profile, pixels: bool = True
    ) -> FrameSequence:
        """A random clip; ``pixels``: whether frames are read too.

        It is as long as it can be: ``options.frames``, or less where the scan ends sooner in either direction.
        """
        stride = int(rng.integers(1, options.stride + 1))
        step = -stride if rng.random() < options.reverse else stride
        room = [self._room(n, step) for n in range(len(self.visible))]
        longest = max(min(options.frames, room[n]) for n, seen in enumerate(self.visible) if seen)
        starts = [n for n, seen in enumerate(self.visible) if seen and room[n] >= longest]
        start = int(rng.choice(starts))
        positions = tuple(start + step * n for n in range(longest))
        values = sorted(self.visible[start])
        values = sorted(int(v) for v in rng.choice(values, min(options.objects, len(values)), replace=False))
        return self.clip(positions, values, profile, pixels, rng, options.augment)

    def clip(
        self,
        positions: Sequence[int],
        values: Sequence[int],
        profile: Profile,
        pixels: bool = True,
        rng: np.random.Generator | None = None,
        augment: SequenceAugmentation | None = None,
    ) -> FrameSequence:
        """The clip of these frames and label values; ``augment`` needs ``rng``."""
        prepared, place = [], None
        jitter = None if augment is None or rng is None else _Jitter.drawn(rng, augment)
        for position in positions if pixels else positions[:1]:
            frame = eight_bit(self.opened.scan.frame(self.opened.frames[position]), profile.window_rule)
            if jitter is not None and rng is not None:
                frame = jitter.applied(rng, frame)
            one, place = profile.prepare(Frame.of(frame))
            prepared.append(torch.from_numpy(one))
        assert place is not None
        truth = torch.stack([_placed(self.opened.labels_on(position), values, place) for position in positions], 1)
        shown = torch.stack(prepared)
        if augment is not None and rng is not None and pixels:
            shown, truth = _viewed(rng, augment, shown, truth)
        seen = truth[:, 0].flatten(1).any(1)
        truth = truth[seen] if bool(seen.any()) else truth
        return FrameSequence(shown if pixels else None, truth.numpy(), self.number, tuple(positions))

    def held_out(self, frames: int, profile: Profile, objects: int) -> FrameSequence:
        """The clip to measure on: from where the largest object is prompted, onwards.

        A volume is prompted in its largest slice, a video where the object begins; the longer way is taken.
        """
        start = self._pointed_at()
        step = 1 if self._room(start, 1) >= min(frames, self._room(start, -1)) else -1
        length = min(frames, self._room(start, step))
        positions = tuple(start + step * n for n in range(length))
        return self.clip(positions, sorted(self.visible[start])[:objects], profile)

    def slices(self, most: int) -> list[int]:
        """Frames with objects: of a volume or video ``most``, spread evenly."""
        places = [n for n, seen in enumerate(self.visible) if seen]
        count = min(len(places), 1 if self.case.task is Task.IMAGE else most)
        return [places[n] for n in np.unique(np.linspace(0, len(places) - 1, count).astype(int))]

    def _pointed_at(self) -> int:
        """Of its largest object: the largest slice, in a video the first frame."""
        found: dict[int, tuple[int, int]] = {}
        for n, seen in enumerate(self.areas):
            for value, area in seen.items():
                if value not in found or (self.case.task is not Task.VIDEO and area > found[value][0]):
                    found[value] = area, n
        return max(found.values(), key=lambda one: one[0])[1]

    def _room(self, start: int, step: int) -> int:
        """Frames from ``start`` on, this one counted."""
        left = len(self.visible) - 1 - start if step > 0 else start
        return left // abs(step) + 1


def split_sources(
    cases: Sequence[Case], held_out: float, seed: int
) -> tuple[list[SequenceSource], list[SequenceSource]]:
    """Scans to learn from, and scans of other subjects to measure on; cases marked for testing are not used.

    None is opened. Raises InputError if there are too few subjects to hold any out.
    """
    learned, held = learned_and_held_out(trainable_frames(cases), held_out, seed)
    shelf = opened_scans()
    training = [SequenceSource(case, n, shelf) for n, case in enumerate(learned)]
    return training, [SequenceSource(case, len(training) + n, shelf) for n, case in enumerate(held)]


def drawn_from(sources: Sequence[SequenceSource], first: int, draw: Callable[[SequenceSource], Drawn]) -> Drawn:
    """What ``draw`` reads of the source at ``first``, or of the next one with an object that can be read.

    Raises InputError if there is none.
    """
    for n in range(len(sources)):
        source = sources[(first + n) % len(sources)]
        if any(source.areas):
            try:
                return draw(source)
            except Exception as error:
                source.leave_out(error)
    raise nothing_to_learn(len(sources))


def _placed(labels: NDArray, values: Sequence[int], place: Fitted) -> Tensor:
    """Labels (height, width) as masks (O, S, S) in the network's input."""
    masks = torch.from_numpy(np.stack([labels == value for value in values])).float()
    inner = F.interpolate(masks[None], size=place.inner, mode="nearest-exact")[0] > 0
    whole = torch.zeros(len(values), place.side, place.side, dtype=torch.bool)
    whole[:, place.top : place.top + place.inner[0], place.left : place.left + place.inner[1]] = inner
    return whole


@dataclass(frozen=True)
class _Jitter:
    """Brightness, contrast and color of a clip, and how much they differ from frame to frame."""

    factors: tuple[float, float, float]
    of_each: tuple[float, float, float]
    gray: bool

    @classmethod
    def drawn(cls, rng: np.random.Generator, augment: SequenceAugmentation) -> _Jitter:
        widths = (augment.brightness, augment.contrast, augment.color)
        return cls(_factors(rng, widths), augment.of_each, rng.random() < augment.gray)

    def applied(self, rng: np.random.Generator, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        picture = _recolored(frame.astype(np.float32), self.factors)
        if self.gray:
            picture = np.repeat(_gray(picture), 3, axis=2)
        picture = _recolored(picture, _factors(rng, self.of_each))
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _factors(rng: np.random.Generator, widths: Sequence[float]) -> tuple[float, float, float]:
    brightness, contrast, color = (float(1 + width * rng.uniform(-1, 1)) for width in widths)
    return brightness, contrast, color


def _gray(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Luma (ITU-R BT.601) of (height, width, 3): (height, width, 1)."""
    return picture @ np.array([[0.299], [0.587], [0.114]], np.float32)


def _recolored(picture: NDArray[np.float32], factors: tuple[float, float, float]) -> NDArray[np.float32]:
    brightness, contrast, color = factors
    picture = picture * np.float32(brightness)
    mean = _gray(picture).mean(dtype=np.float32)
    picture = mean + (picture - mean) * np.float32(contrast)
    gray = _gray(picture)
    return gray + (picture - gray) * np.float32(color)


def _viewed(
    rng: np.random.Generator, augment: SequenceAugmentation, pixels: Tensor, truth: Tensor
) -> tuple[Tensor, Tensor]:
    """Frames (T, 3, S, S) and masks (O, T, S, S), turned, sheared and mirrored alike; all objects stay on the first.

    Outside the picture is the mean color (zero after preparation).
    """
    if rng.random() < augment.flip:
        pixels, truth = pixels.flip(-1), truth.flip(-1)
    if not augment.degrees and not augment.shear:
        return pixels, truth
    for _ in range(TRIES):
        angle, shear = np.deg2rad(rng.uniform(-1, 1, 2) * (augment.degrees, augment.shear))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.zeros((1, 2, 3), np.float32)
        matrix[0, :, :2] = turn @ np.array([[1.0, np.tan(shear)], [0.0, 1.0]])
        grid = F.affine_grid(torch.from_numpy(matrix), [1, 1, *pixels.shape[-2:]], align_corners=False)
        masks = F.grid_sample(truth.flatten(0, 1)[None].float(), grid, mode="nearest", align_corners=False)
        moved = masks[0].view_as(truth) > 0.5
        if bool((moved[:, 0].flatten(1).sum(1) >= LEAST_PIXELS).all()):
            seen = F.grid_sample(pixels, grid.expand(len(pixels), -1, -1, -1), align_corners=False)
            return seen, moved
    return pixels, truth
