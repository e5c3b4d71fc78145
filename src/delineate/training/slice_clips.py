"""Clips of slices with one structure each, for prompted networks whose adapters look from slice to slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.core.errors import DelineateError
from delineate.data.cases import Case, LabeledScan, Target
from delineate.predictors.sam import SamPredictor
from delineate.training.class_clips import placed
from delineate.training.frames import learned_and_held_out, nothing_to_learn, trainable_frames
from delineate.training.left_out import leave_out
from delineate.training.shelf import opened_scans

STRUCTURES = 3  # of a held-out scan that are measured, at most


@dataclass(frozen=True, eq=False)
class SliceClip:
    """Slices in a row, prepared (D, 3, S, S), and one structure's outline on each (D, S, S)."""

    pixels: Tensor
    masks: NDArray[np.bool_]

    def mirrored(self, axes: tuple[int, ...]) -> SliceClip:
        """Turned over along axes of the picture: 1 is down, 2 is right."""
        return SliceClip(self.pixels.flip([axis + 1 for axis in axes]), np.flip(self.masks, axes).copy())


class SliceClips:
    """Clips of some cases: ``depth`` slices round one that shows the structure.

    A clip is cut where the predictor may cut it in use, or anywhere: neighbors on both sides are learned from. A case
    that cannot be read, or has no structure, is left out with a warning.
    """

    def __init__(self, predictor: SamPredictor, cases: Sequence[Case], depth: int, seed: int = 0) -> None:
        self.predictor, self.cases, self.depth, self.seed = predictor, list(cases), depth, seed
        self._opened = opened_scans()
        self._left: set[int] = set()

    def __len__(self) -> int:
        return len(self.cases)

    def drawn(self, rng: np.random.Generator) -> SliceClip:
        """A clip of a structure of a case, all drawn at random. Raises InputError if there is none."""
        for number in rng.permutation(len(self.cases)):
            if (known := self._known(int(number))) is not None:
                opened, targets = known
                return self._clip(opened, targets[int(rng.integers(len(targets)))], rng)
        raise nothing_to_learn(len(self.cases))

    def structures(self) -> Iterator[tuple[LabeledScan, Target]]:
        """Structures of every case, a few of each. Raises InputError if there is none."""
        empty = True
        for number in range(len(self.cases)):
            if (known := self._known(number)) is not None:
                empty = False
                yield from ((known[0], target) for target in known[0].targets(STRUCTURES, self.seed))
        if empty:
            raise nothing_to_learn(len(self.cases))

    def _known(self, number: int) -> tuple[LabeledScan, Sequence[Target]] | None:
        """A case and its structures; None of one that cannot be learned from."""
        if number in self._left:
            return None
        case = self.cases[number]
        try:
            opened = self._opened.get(number, case.open)
            targets = opened.targets(1_000, self.seed)
            if not targets:
                raise nothing_to_learn(1)
        except DelineateError as error:
            leave_out(case, error)
            self._left.add(number)
            return None
        return opened, targets

    def _clip(self, opened: LabeledScan, target: Target, rng: np.random.Generator) -> SliceClip:
        showing = slices_of(opened, target)
        depth = min(self.depth, len(opened.scan))
        shown = showing[int(rng.integers(len(showing)))]
        least, most = max(0, shown - depth + 1), min(shown, len(opened.scan) - depth)
        start = int(rng.integers(least, most + 1))
        frames = range(start, start + depth)
        profile = self.predictor.behavior.profile
        prepared = [profile.prepare(opened.scan.frame(n)) for n in frames]
        masks = [
            placed(opened.truth(n, target).astype(np.int64), place) == 1
            if n in opened.frames
            else np.zeros((place.side, place.side), bool)
            for n, (_, place) in zip(frames, prepared, strict=True)
        ]
        return SliceClip(torch.from_numpy(np.stack([pixels for pixels, _ in prepared])), np.stack(masks))


def slices_of(opened: LabeledScan, target: Target) -> list[int]:
    """Slices that show a structure."""
    return [n for n in opened.frames if opened.truth(n, target).any()]


def split_slices(
    predictor: SamPredictor, cases: Sequence[Case], depth: int, held_out: float, seed: int
) -> tuple[SliceClips, SliceClips]:
    """Clips to learn from, and scans of other subjects to measure on.

    Raises InputError if there are too few subjects to hold any out.
    """
    parts = learned_and_held_out(trainable_frames(cases), held_out, seed)
    training, testing = (SliceClips(predictor, part, depth, seed) for part in parts)
    return training, testing
