"""Distillation of image encoders: ``delineate distill``.

The student learns the teacher's embeddings and works with the teacher's prompt encoder and mask decoder (MobileSAM,
arXiv 2306.14289 sec. 3.2; first stage of LiteMedSAM and of KD SAM). A second stage may train the decoder on labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.core.errors import InputError, ModelError
from delineate.core.frame import Frame
from delineate.core.manifest import RANDOM
from delineate.core.terminal_text import counted
from delineate.data.cases import Case, Task
from delineate.data.subjects import split_by_subject
from delineate.predictors.sam import SamPredictor
from delineate.preprocess.intensity import eight_bit
from delineate.training.feature_losses import FEATURE_LOSSES, DecoderPerception, FeatureLoss
from delineate.training.finetune import Finetune, finetune
from delineate.training.frames import trainable_frames
from delineate.training.left_out import leave_out
from delineate.training.loop import LoopOptions, Tell, train
from delineate.training.run_files import read_arrays, save_arrays
from delineate.training.shelf import opened_scans
from delineate.training.teacher_features import TeacherFeatures

HEADS = ("prompt_encoder.", "mask_decoder.", "shared_image_embedding.")
STUDENT = "student.safetensors"
LOOKED_AT = 8  # pictures, for the scale of the teacher's embeddings

__all__ = ["Distillation", "Distilled", "EncoderDistillation", "FeatureLoss", "distill"]


@dataclass(frozen=True)
class Distillation:
    """The recipe.

    loop      of the encoder's stage: output, steps, rate and the rest
    losses    of embeddings, by name, with their weights
    batch     pictures a step
    flips     pictures are mirrored, for the teacher as well
    frames    of a volume or video that are used, at most
    held_out  share of subjects to measure on
    epsilon   of AdamW
    decoder   fine-tuning on labels as a second stage, in the folder ``decoder``; None: the teacher's heads stay
    """

    loop: LoopOptions
    losses: tuple[tuple[FeatureLoss, float], ...] = ((FeatureLoss.MSE, 1.0),)
    batch: int = 4
    flips: bool = True
    frames: int = 8
    held_out: float = 0.2
    epsilon: float = 1e-8
    decoder: Finetune | None = None


@dataclass(frozen=True)
class Distilled:
    """Relative error of the student's embeddings on held-out subjects, before and at best; its weights.

    dice  on held-out subjects before and after a second stage, where there was one
    """

    before: float
    after: float
    weights: Path
    dice: tuple[float, float] | None = None


class EncoderDistillation:
    """An ``Objective``: the student's encoder answers as the teacher's; quality is minus the mean relative error.

    Raises ModelError if the embeddings have different numbers of channels; of different sizes the teacher's is resized.
    """

    def __init__(
        self,
        teacher: SamPredictor,
        student: SamPredictor,
        pictures: tuple[DistillationFrames, DistillationFrames],
        recipe: Distillation,
    ) -> None:
        self.training, self.testing = pictures
        self.recipe, self.device = recipe, student.engine.device
        self.wanted = TeacherFeatures(teacher, recipe.loop.output / "embeddings")
        self.network, self.host = student.network, student.network.host
        # the student sees a picture where the teacher does: stretched, or padded on the same sides
        self.profile = replace(student.behavior.profile, fit=teacher.behavior.profile.fit)
        heads = {k: v for k, v in teacher.network.host.state_dict().items() if k.startswith(HEADS)}
        self.host.load_state_dict(heads, strict=False)
        self.host.requires_grad_(False)
        self.host.vision_encoder.requires_grad_(True)
        self.losses = dict(FEATURE_LOSSES) | {FeatureLoss.PERCEPTUAL: DecoderPerception(teacher.network)}
        channels = self.wanted.of(self.testing[0]).shape[0], self._embedded([self.testing[0]]).shape[1]
        if channels[0] != channels[1]:
            raise ModelError(
                "E-DISTILL-SIZE",
                "Teacher and student make embeddings of {} and {}.".format(*channels),
                "Choose a student of the same embedding size as the teacher.",
            )
        if student.record.sha256 == RANDOM:
            self.scale_as_teacher()

    @torch.no_grad()
    def scale_as_teacher(self) -> None:
        """The last norm begins with the mean and the deviation that each channel has in the teacher.

        Fresh norms make embeddings ten times as large as SAM's are, and a short run does nothing but unlearn that.
        """
        chosen = np.unique(np.linspace(0, len(self.training) - 1, LOOKED_AT).astype(int)).tolist()
        seen = torch.stack([self.wanted.of(self.training[n]) for n in chosen])
        *_, norm = self.host.vision_encoder.get_submodule("neck").children()
        scale, shift = norm.parameters()
        scale.copy_(seen.std((0, 2, 3)))
        shift.copy_(seen.mean((0, 2, 3)))

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.host.vision_encoder.parameters()), "eps": self.recipe.epsilon, "name": "encoder"}]

    def modules(self) -> nn.Module:
        return self.host.vision_encoder

    def weights(self) -> dict[str, Tensor]:
        """The student's encoder with the teacher's heads."""
        return self.host.state_dict()

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        chosen = [_turned(self.training[int(n)], self.recipe.flips, rng) for n in rng.integers(len(self.training), size=self.recipe.batch)]  # fmt: skip  # noqa: E501
        found = self._embedded(chosen).float()
        target = self._targets(chosen, found.shape[-1])
        parts = {str(name): self.losses[name](found, target) for name, _ in self.recipe.losses}
        total = torch.stack([weight * parts[str(name)] for name, weight in self.recipe.losses]).sum()
        return {"total": total, **parts}

    @torch.no_grad()
    def measure(self) -> float:
        """Minus the mean relative error ||student - teacher|| / ||teacher||."""
        errors = []
        for picture in self.testing:
            found = self._embedded([picture]).float()
            target = self._targets([picture], found.shape[-1])
            errors.append(float((found - target).norm() / target.norm()))
        return -float(np.mean(errors))

    def _embedded(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        pixels = torch.from_numpy(np.stack([self.profile.prepare(Frame.of(p))[0] for p in pictures]))
        return self.network.embed(pixels.to(self.device))

    def _targets(self, pictures: Sequence[NDArray[np.uint8]], cells: int) -> Tensor:
        target = torch.stack([self.wanted.of(p) for p in pictures]).to(self.device)
        return target if target.shape[-1] == cells else F.interpolate(target, size=(cells, cells), mode="bilinear")


def distill(
    teacher: SamPredictor,
    student: SamPredictor,
    cases: Sequence[Case],
    recipe: Distillation,
    tell: Tell | None = None,
) -> Distilled:
    """Train the student's encoder, give it the teacher's heads, train those if asked for, and save the best.

    Raises ModelError if the embeddings do not fit, InputError if there are too few subjects.
    """
    torch.manual_seed(recipe.loop.seed)
    learned, held = split_by_subject(trainable_frames(cases), (1 - recipe.held_out, recipe.held_out), recipe.loop.seed)
    training, testing = DistillationFrames(learned, recipe.frames), DistillationFrames(held, recipe.frames)
    if not len(training) or not len(testing):
        raise InputError("E-TRAIN-FEW", f"Too few cases to hold any out: {len(cases)}.", "Add subjects.")
    outcome = train(EncoderDistillation(teacher, student, (training, testing), recipe), recipe.loop, tell)
    host, path, dice = student.network.host, recipe.loop.output / STUDENT, None
    if outcome.weights is not None:
        host.load_state_dict(read_arrays(outcome.weights)[0])
    if recipe.decoder is not None:
        second = finetune(student, cases, recipe.decoder, tell)
        dice = second.before, second.best
        if second.weights is not None:
            host.load_state_dict(read_arrays(second.weights)[0])
    student.network.eval()
    save_arrays(path, host.state_dict())
    return Distilled(-outcome.before, -outcome.best, path, dice)


class DistillationFrames:
    """Frames of the cases (height, width[, 3]), ``most`` of each, read when they are asked for; labels do not matter.

    There is a place for each frame a case may have; where it has fewer, its frames are in several places, and where
    it cannot be read the next case's are there.
    """

    def __init__(self, cases: Sequence[Case], most: int) -> None:
        self.cases, self.most = cases, most
        self._places = [
            (n, rank) for n, case in enumerate(cases) for rank in range(1 if case.task is Task.IMAGE else most)
        ]
        self._opened = opened_scans()
        self._left_out: set[int] = set()

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, place: int) -> NDArray[np.uint8]:
        for n in range(len(self._places)):
            number, rank = self._places[(place + n) % len(self._places)]
            if number in self._left_out:
                continue
            try:
                frames = self._frames(number)
                return self._picture(number, frames[rank % len(frames)])
            except Exception as error:
                self._leave_out(number, error)
        raise self._none()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for number in range(len(self.cases)):
            try:
                found = [] if number in self._left_out else [self._picture(number, n) for n in self._frames(number)]
            except Exception as error:
                self._leave_out(number, error)
                continue
            yield from found
        if len(self._left_out) == len(self.cases):
            raise self._none()

    def _leave_out(self, number: int, error: Exception) -> None:
        leave_out(self.cases[number], error)
        self._left_out.add(number)

    def _none(self) -> InputError:
        return InputError(
            "E-TRAIN-EMPTY",
            f"None of {counted(len(self.cases), 'scan')} can be read.",
            "See why: delineate dataset check DIR",
        )

    def _frames(self, number: int) -> list[int]:
        last = len(self._opened.get(number, self.cases[number].open).scan) - 1
        return np.unique(np.linspace(0, last, min(last + 1, self.most)).astype(int)).tolist()

    def _picture(self, number: int, frame: int) -> NDArray[np.uint8]:
        return eight_bit(self._opened.get(number, self.cases[number].open).scan.frame(frame))


def _turned(picture: NDArray[np.uint8], flips: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    for axis in (1, 0):
        if flips and rng.random() < 0.5:
            picture = np.flip(picture, axis)
    return np.ascontiguousarray(picture)
