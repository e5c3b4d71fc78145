"""Labeled frames as a SAM-shaped network trains on them: prepared pixels, or the kept embedding, and structures.

Nothing is opened before it is drawn or measured on; what was prepared is kept as long as there is room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from delineate.core.errors import InputError
from delineate.core.frame import Frame
from delineate.core.terminal_text import counted
from delineate.data.cases import LEAST_PIXELS, Case, Task, Use, refuse_outside
from delineate.data.subjects import split_by_subject, subject_of
from delineate.predictors.sam import SamPredictor
from delineate.preprocess.fitting import Fitted
from delineate.training.kept_embeddings import KeptEmbeddings, embedded
from delineate.training.left_out import leave_out
from delineate.training.shelf import LRUCache, opened_scans

READY_BYTES = 4e9  # of prepared frames and embeddings that are kept; others are made again


@dataclass(frozen=True, eq=False)
class TrainingFrame:
    """One frame, prepared.

    pixels     (3, S, S), or None where the embedding is kept
    embedding  (256, f, f), fp16, or None
    masks      its structures (N, S, S) in the network's input
    """

    pixels: Tensor | None
    embedding: Tensor | None
    masks: NDArray[np.bool_]
    place: Fitted


@dataclass(frozen=True)
class FrameOptions:
    """Which frames: ``slices`` of a volume or video at most; ``kept``: embeddings instead of pixels.

    folder  where embeddings are kept for the next run too; None: in memory alone
    """

    slices: int = 4
    kept: bool = False
    held_out: float = 0.25
    seed: int = 0
    folder: Path | None = None


def trainable_frames(cases: Sequence[Case]) -> list[Case]:
    """Cases that are not kept for testing, where the data set says which those are.

    Raises InputError if it keeps all of them, OutsideError if one of them leads outside the data set: before the first
    step, not after hours.
    """
    chosen = [case for case in cases if case.use is Use.TRAIN] or [case for case in cases if not case.marked]
    if cases and not chosen:
        raise InputError(
            "E-TRAIN-MARKED",
            f"All of {counted(len(cases), 'case')} are marked for testing, and nothing is learned from those.",
            'Mark some for training in the manifest: "use": "train".',
        )
    refuse_outside(chosen)
    return chosen


class Frames(Protocol):
    """Frames by number, and all of them in a row."""

    def __len__(self) -> int: ...
    def __getitem__(self, place: int, /) -> TrainingFrame: ...
    def __iter__(self) -> Iterator[TrainingFrame]: ...


def nothing_to_learn(cases: int) -> InputError:
    return InputError(
        "E-TRAIN-EMPTY",
        f"None of {cases} labeled scans has a structure of at least {LEAST_PIXELS} pixels.",
        "See what is in them: delineate dataset check DIR --sheet sheet.png",
    )


def split_frames(
    predictor: SamPredictor, cases: Sequence[Case], options: FrameOptions
) -> tuple[LabeledFrames, LabeledFrames]:
    """Frames to learn from, and frames of other subjects to measure on; cases marked for testing are not used.

    Raises InputError if there are too few subjects to hold any out.
    """
    parts = learned_and_held_out(trainable_frames(cases), options.held_out, options.seed)
    training, testing = (LabeledFrames(predictor, part, options) for part in parts)
    return training, testing


def learned_and_held_out(cases: Sequence[Case], held_out: float, seed: int) -> tuple[list[Case], list[Case]]:
    """Cases to learn from, and cases of other subjects to measure on.

    Raises InputError if there are too few subjects to hold any out.
    """
    learned, held = split_by_subject(list(cases), (1 - held_out, held_out), seed)
    if not learned or not held:
        subjects = counted(len({subject_of(case) for case in cases}), "subject")
        raise InputError(
            "E-TRAIN-FEW",
            f"Too few cases to train on some and to measure on others: {len(cases)}, of {subjects}; {held_out:.0%} of "
            "subjects are to be held out.",
            "Add subjects, or change the share: --held-out 0.5",
        )
    return learned, held


class LabeledFrames:
    """Of each case some of the frames with labels, spread evenly (``Frames``).

    There is a place for each frame a case may have; where it has fewer, its frames are in several places, and where it
    has no structure the next case's are there. All in a row they are without doubles.
    """

    def __init__(self, predictor: SamPredictor, cases: Sequence[Case], options: FrameOptions) -> None:
        self.predictor, self.cases, self.options = predictor, cases, options
        self._places = [(number, n) for number in range(len(cases)) for n in range(self._most(number))]
        self._opened = opened_scans()
        self._ready: LRUCache[TrainingFrame | None] = LRUCache(READY_BYTES, _bytes_of)
        self._chosen: dict[int, list[int]] = {}
        self._kept = KeptEmbeddings(predictor.network, options.folder) if options.kept and options.folder else None

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, place: int) -> TrainingFrame:
        for n in range(len(self._places)):
            number, rank = self._places[(place + n) % len(self._places)]
            chosen = self.chosen(number)
            frame = self._frame(number, chosen[rank % len(chosen)]) if chosen else None
            if frame is not None:
                return frame
        raise nothing_to_learn(len(self.cases))

    def __iter__(self) -> Iterator[TrainingFrame]:
        empty = True
        for number in range(len(self.cases)):
            for index in tuple(self.chosen(number)):
                if (frame := self._frame(number, index)) is not None:
                    empty = False
                    yield frame
        if empty:
            raise nothing_to_learn(len(self.cases))

    def chosen(self, number: int) -> list[int]:
        """Which labeled frames of a case are used; it is opened for that once. None of one that cannot be read."""
        if number not in self._chosen:
            try:
                self._chosen[number] = self._spread(number)
            except Exception as error:
                self._leave_out(number, error)
        return self._chosen[number]

    def _spread(self, number: int) -> list[int]:
        opened = self._opened.get(number, self.cases[number].open)
        labeled = [n for n in range(len(opened.frames)) if (opened.labels_on(n) > 0).any()]
        spread = np.linspace(0, len(labeled) - 1, self._most(number)).astype(int) if labeled else ()
        return [labeled[n] for n in np.unique(spread)] if labeled else []

    def _leave_out(self, number: int, error: Exception) -> None:
        leave_out(self.cases[number], error)
        self._chosen[number] = []

    def _most(self, number: int) -> int:
        return 1 if self.cases[number].task is Task.IMAGE else self.options.slices

    def _frame(self, number: int, index: int) -> TrainingFrame | None:
        def ready() -> TrainingFrame | None:
            try:
                opened = self._opened.get(number, self.cases[number].open)
                frame = _prepared(self.predictor, opened.scan.frame(opened.frames[index]), opened.labels_on(index))
            except Exception as error:
                self._leave_out(number, error)
                return None
            return self._embedded(frame) if frame is not None and self.options.kept else frame

        return self._ready.get((number, index), ready)

    def _embedded(self, frame: TrainingFrame) -> TrainingFrame:
        assert frame.pixels is not None
        if self._kept is not None:
            embedding = self._kept.of(frame.pixels)
        else:
            pixels = frame.pixels.to(self.predictor.engine.device)
            embedding = embedded(self.predictor.network, pixels).half().cpu()
        return TrainingFrame(None, embedding, frame.masks, frame.place)


def _bytes_of(frame: TrainingFrame | None) -> float:
    if frame is None:
        return 0.0
    tensors = [t for t in (frame.pixels, frame.embedding) if t is not None]
    return float(frame.masks.nbytes + sum(t.numel() * t.element_size() for t in tensors))


def _prepared(predictor: SamPredictor, frame: Frame, labels: NDArray) -> TrainingFrame | None:
    pixels, place = predictor.behavior.profile.prepare(frame)
    masks = []
    for value in np.unique(labels):
        mask = labels == value
        if value <= 0 or mask.sum() < LEAST_PIXELS:
            continue
        pixels_of = torch.from_numpy(mask).float()[None, None]
        inner = F.interpolate(pixels_of, size=place.inner, mode="nearest-exact")[0, 0] > 0
        whole = np.zeros((place.side, place.side), bool)
        whole[place.top : place.top + place.inner[0], place.left : place.left + place.inner[1]] = inner.numpy()
        if whole.any():
            masks.append(whole)
    return TrainingFrame(torch.from_numpy(pixels), None, np.stack(masks), place) if masks else None


@dataclass(frozen=True, eq=False)
class Batch:
    """Structures of some frames.

    pixels or embeddings  (B, 3, S, S), or (B, 256, f, f)
    masks                 (O, S, S), the same number of each frame, frame by frame
    """

    pixels: Tensor | None
    embeddings: Tensor | None
    masks: NDArray[np.bool_]


def drawn_batch(
    rng: np.random.Generator, frames: Frames, structures: int, of_each: int = 1, flips: float = 0.0
) -> Batch:
    """``structures`` drawn with replacement, ``of_each`` from a frame; ``flips``: chance an axis is mirrored."""
    pixels, embeddings, masks = [], [], []
    for _ in range(max(1, -(-structures // of_each))):
        frame = frames[int(rng.integers(len(frames)))]
        axes = [axis for axis in (1, 2) if frame.pixels is not None and rng.random() < flips]
        if frame.pixels is not None:
            pixels.append(frame.pixels.flip(axes) if axes else frame.pixels)
        elif frame.embedding is not None:
            embeddings.append(frame.embedding.float())
        for n in rng.integers(len(frame.masks), size=of_each):
            masks.append(np.flip(frame.masks[n], tuple(axis - 1 for axis in axes)))
    return Batch(
        torch.stack(pixels) if pixels else None, torch.stack(embeddings) if embeddings else None, np.stack(masks)
    )
