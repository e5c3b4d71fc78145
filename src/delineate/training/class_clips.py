"""Labeled clips, volumes and pictures for networks that name what they see: frames with their neighbors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from delineate.core.errors import DelineateError, InputError
from delineate.data.cases import Case, LabeledScan
from delineate.echo.record import structure_meant
from delineate.predictors.clip_classes import ClipClassPredictor
from delineate.preprocess.fitting import Fitted
from delineate.training.frames import learned_and_held_out, nothing_to_learn, trainable_frames
from delineate.training.left_out import leave_out
from delineate.training.shelf import opened_scans

NOT_LABELED = -100  # of pixels beside a frame, and of frames without labels: they teach nothing
Classes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainingClip:
    """Frames in a row: pixels (D, C, S, S), and the class of each pixel (D, S, S) or NOT_LABELED."""

    pixels: Tensor
    classes: Tensor

    def mirrored(self) -> TrainingClip:
        """Left and right changed."""
        return TrainingClip(self.pixels.flip(-1), self.classes.flip(-1))


class LabeledClips:
    """Clips of some cases, a window of the predictor's depth round a labeled frame each time.

    Cases whose structures are none of the predictor's classes are left out, with a warning that says so.
    """

    def __init__(self, predictor: ClipClassPredictor, cases: Sequence[Case]) -> None:
        self.predictor, self.cases = predictor, list(cases)
        self._opened = opened_scans()
        self._left: set[int] = set()

    def __len__(self) -> int:
        return len(self.cases)

    def drawn(self, rng: np.random.Generator) -> TrainingClip:
        """A window of a case drawn at random.

        Raises InputError if none can be read.
        """
        for number in rng.permutation(len(self.cases)):
            if (opened := self.opened(int(number))) is not None:
                labeled = opened.frames[int(rng.integers(len(opened.frames)))]
                depth = min(self.predictor.depth, len(opened.scan))
                least, most = max(0, labeled - depth + 1), min(labeled, len(opened.scan) - depth)
                return self._window(opened, int(rng.integers(least, most + 1)), depth)
        raise nothing_to_learn(len(self.cases))

    def all_opened(self) -> Iterator[LabeledScan]:
        """Every case that can be read."""
        for number in range(len(self.cases)):
            if (opened := self.opened(number)) is not None:
                yield opened

    def opened(self, number: int) -> LabeledScan | None:
        """A case; None of one that cannot be learned from."""
        if number in self._left:
            return None
        case = self.cases[number]
        try:
            opened = self._opened.get(number, case.open)
            class_of(case, self.predictor.classes)
        except DelineateError as error:
            leave_out(case, error)
            self._left.add(number)
            return None
        return opened

    def _window(self, opened: LabeledScan, start: int, depth: int) -> TrainingClip:
        frames = range(start, start + depth)
        pixels, places = self.predictor.prepare(self.predictor.profile, [opened.scan.frame(n) for n in frames])
        known = {frame: index for index, frame in enumerate(opened.frames)}
        table = class_of(opened.case, self.predictor.classes)
        classes = [
            placed(named(opened.labels_on(known[n]), table), place)
            if n in known
            else np.full((place.side, place.side), NOT_LABELED)
            for n, place in zip(frames, places, strict=True)
        ]
        return TrainingClip(torch.from_numpy(pixels), torch.from_numpy(np.stack(classes)))


def class_of(case: Case, classes: Sequence[str]) -> dict[int, int]:
    """The class (from 1) of each label value of a case that has one; names that mean the same chamber count as one.

    Raises InputError if no structure of the case is a class.
    """
    wanted = {_key(name): number for number, name in enumerate(classes, 1)}
    found = {value: wanted[_key(name)] for value, name in case.structures.items() if _key(name) in wanted}
    if not found:
        raise InputError(
            "E-TRAIN-CLASSES",
            f"None of the structures of {case.id} ({', '.join(case.structures.values())}) is a class of the model: "
            f"{', '.join(classes)}.",
            "Name them alike in the data set, begin with a file of these classes, or anew: --untrained --class NAME",
        )
    return found


def _key(name: str) -> str:
    return structure_meant(name) or "".join(name.casefold().split())


def named(labels: NDArray[np.integer], table: Mapping[int, int]) -> Classes:
    """Label values as classes; what has none is background. Under 0 a table may have every value that is not 0."""
    classes = np.zeros(labels.shape, np.int64)
    if 0 in table:
        classes[labels > 0] = table[0]
    for value, number in table.items():
        if value:
            classes[labels == value] = number
    return classes


def placed(classes: Classes, place: Fitted) -> Classes:
    """Classes of a frame where it lies in the network's input; NOT_LABELED beside it."""
    inner = F.interpolate(torch.from_numpy(classes).float()[None, None], size=place.inner, mode="nearest-exact")[0, 0]
    whole = np.full((place.side, place.side), NOT_LABELED, np.int64)
    whole[place.top : place.top + place.inner[0], place.left : place.left + place.inner[1]] = inner.numpy()
    return whole


def fitting(predictor: ClipClassPredictor, cases: Sequence[Case]) -> list[Case]:
    """Cases that have a class of the model. Raises InputError where none has."""
    found, reason = [], None
    for case in cases:
        try:
            class_of(case, predictor.classes)
            found.append(case)
        except InputError as error:
            reason = error
    if not found and reason is not None:
        raise reason
    return found


def split_clips(
    predictor: ClipClassPredictor, cases: Sequence[Case], held_out: float, seed: int
) -> tuple[LabeledClips, LabeledClips]:
    """Clips to learn from, and clips of other subjects to measure on.

    Raises InputError if there are too few subjects to hold any out, and where no case has a class of the model.
    """
    chosen = fitting(predictor, trainable_frames(cases))
    parts = learned_and_held_out(chosen, held_out, seed)
    training, testing = (LabeledClips(predictor, part) for part in parts)
    return training, testing
