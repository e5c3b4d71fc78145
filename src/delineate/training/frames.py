"""Labelled frames as a SAM-shaped network trains on them: prepared pixels, or the kept embedding, and structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from delineate.data.cases import LEAST_PIXELS, Case, Task, Use
from delineate.data.check import split_by_subject
from delineate.errors import InputError
from delineate.preprocess.fitting import Fitted
from delineate.runtimes.sam import SamPredictor


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
    """Which frames: ``slices`` of a volume or video at most; ``kept``: embeddings instead of pixels."""

    slices: int = 4
    kept: bool = False
    held_out: float = 0.25
    seed: int = 0


def to_learn_from(cases: Sequence[Case]) -> list[Case]:
    """Cases that are not kept for testing, where the data set says which those are."""
    marked = [case for case in cases if case.use is Use.TRAIN]
    return marked or list(cases)


def split_frames(
    predictor: SamPredictor, cases: Sequence[Case], options: FrameOptions
) -> tuple[list[TrainingFrame], list[TrainingFrame]]:
    """Frames to learn from, and frames of other subjects to measure on; cases marked for testing are not used.

    Raises InputError if there are too few subjects to hold any out.
    """
    parts = split_by_subject(to_learn_from(cases), (1 - options.held_out, options.held_out), options.seed)
    training, testing = (labelled_frames(predictor, part, options) for part in parts)
    if not training or not testing:
        raise InputError(
            "E-TRAIN-FEW", f"{len(cases)} cases are too few to train on some and to measure on others.", "Add subjects."
        )
    return training, testing


def labelled_frames(predictor: SamPredictor, cases: Sequence[Case], options: FrameOptions) -> list[TrainingFrame]:
    """Of each case some of the frames with labels, spread evenly."""
    found = []
    for case in cases:
        opened = case.open()
        labelled = [n for n in range(len(opened.labels)) if (opened.labels.frame(n) > 0).any()]
        most = 1 if case.task is Task.IMAGE else options.slices
        for n in np.unique(np.linspace(0, len(labelled) - 1, most).astype(int)) if labelled else ():
            labels = opened.labels.frame(labelled[n])
            frame = _prepared(predictor, opened.scan.frame(opened.frames[labelled[n]]), labels)
            if frame is not None:
                found.append(_embedded(predictor, frame) if options.kept else frame)
    return found


def _prepared(predictor: SamPredictor, frame: NDArray, labels: NDArray) -> TrainingFrame | None:
    pixels, place = predictor.behaviour.profile.prepare(frame)
    masks = []
    for value in np.unique(labels):
        mask = labels == value
        if not value or mask.sum() < LEAST_PIXELS:
            continue
        inner = F.interpolate(torch.from_numpy(mask).float()[None, None], size=place.inner, mode="nearest")[0, 0] > 0
        whole = np.zeros((place.side, place.side), bool)
        whole[place.top : place.top + place.inner[0], place.left : place.left + place.inner[1]] = inner.numpy()
        if whole.any():
            masks.append(whole)
    return TrainingFrame(torch.from_numpy(pixels), None, np.stack(masks), place) if masks else None


@torch.no_grad()
def _embedded(predictor: SamPredictor, frame: TrainingFrame) -> TrainingFrame:
    assert frame.pixels is not None
    embedding = predictor.network.embed(frame.pixels[None].to(predictor.engine.device)).half().cpu()
    return TrainingFrame(None, embedding[0], frame.masks, frame.place)


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
    rng: np.random.Generator, frames: Sequence[TrainingFrame], structures: int, of_each: int = 1, flips: float = 0.0
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
