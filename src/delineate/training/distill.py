"""Decoupled distillation of image encoders: ``delineate distill``.

The student learns the teacher's embeddings by mean squared error and then works with the teacher's prompt encoder and
mask decoder (MobileSAM, arXiv 2306.14289 sec. 3.2; first stage of LiteMedSAM). Embeddings of the teacher are computed
once and kept in a file, by the content of the pictures, so that a second run or another student costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional as F

from delineate.data.cases import Case
from delineate.data.check import split_by_subject
from delineate.errors import InputError, ModelError
from delineate.io.atomic import replacing
from delineate.runtimes.sam import SamPredictor

HEADS = ("prompt_encoder.", "mask_decoder.", "shared_image_embedding.")


@dataclass(frozen=True)
class Distillation:
    """The recipe.

    output    folder for the student, the log and the teacher's embeddings
    steps     optimiser steps, of ``batch`` pictures each
    rate      of AdamW (LiteMedSAM: 5e-4), falling along a cosine
    flips     pictures and embeddings are computed mirrored as well
    frames    of a volume or video that are used, at most
    held_out  share of subjects to measure on
    """

    output: Path
    steps: int = 300
    batch: int = 4
    rate: float = 5e-4
    weight_decay: float = 1e-3
    flips: bool = True
    frames: int = 8
    held_out: float = 0.2
    every: int = 50
    seed: int = 0


@dataclass(frozen=True)
class Distilled:
    """Relative error of the student's embeddings on held-out subjects, before and after; its weights."""

    before: float
    after: float
    weights: Path


def distill(
    teacher: SamPredictor,
    student: SamPredictor,
    cases: list[Case],
    recipe: Distillation,
    tell: Callable[[dict[str, float]], None] | None = None,
) -> Distilled:
    """Train the student's encoder, give it the teacher's heads, and save it.

    Raises ModelError if the embeddings of both have different sizes, InputError if there are too few subjects.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    learned, held = split_by_subject(cases, (1 - recipe.held_out, recipe.held_out), recipe.seed)
    training, testing = _pictures(learned, recipe), _pictures(held, recipe)
    if not training or not testing:
        raise InputError("E-TRAIN-FEW", f"{len(cases)} cases are too few to hold any out.", "Add subjects.")
    wanted = _Embeddings(teacher, recipe.output / "embeddings")
    encoder = student.network.host.vision_encoder
    if wanted.of(testing[0]).shape != _embedded(student, testing[0]).shape:
        raise ModelError("E-DISTILL-SIZE", "Teacher and student make embeddings of different sizes.")
    before = _error(student, wanted, testing)
    optimizer = torch.optim.AdamW(encoder.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    encoder.train()
    losses: list[float] = []
    for step in range(1, recipe.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / recipe.steps))
        chosen = [_turned(training[n], recipe, rng) for n in rng.integers(len(training), size=recipe.batch)]
        pixels = torch.from_numpy(np.stack([student.behaviour.profile.prepare(p)[0] for p in chosen]))
        target = torch.stack([wanted.of(p) for p in chosen])
        loss = F.mse_loss(student.network.embed(pixels.to(student.engine.device)), target.to(student.engine.device))
        if not math.isfinite(loss.item()):
            raise ModelError("E-TRAIN-NAN", f"The loss is no number at step {step}.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % recipe.every == 0 or step == recipe.steps:
            encoder.eval()
            line = {"step": step, "loss": float(np.mean(losses)), "error": _error(student, wanted, testing)}
            encoder.train()
            losses.clear()
            with (recipe.output / "log.jsonl").open("a") as stream:
                stream.write(json.dumps(line) + "\n")
            if tell is not None:
                tell(line)
    encoder.eval()
    heads = {k: v for k, v in teacher.network.host.state_dict().items() if k.startswith(HEADS)}
    student.network.host.load_state_dict(heads, strict=False)
    weights = recipe.output / "student.safetensors"
    with replacing(weights) as temporary:
        save_file({k: v.contiguous().clone() for k, v in student.network.host.state_dict().items()}, temporary)
    return Distilled(before, _error(student, wanted, testing), weights)


class _Embeddings:
    """A teacher's embeddings, kept as fp16 files named by the content of the picture and of the teacher."""

    def __init__(self, teacher: SamPredictor, folder: Path) -> None:
        self._teacher, self._folder = teacher, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._teacher_key = hashlib.sha256()
        for value in teacher.network.state_dict().values():
            self._teacher_key.update(value.flatten()[:64].float().cpu().numpy().tobytes())

    def of(self, picture: NDArray[np.uint8]) -> torch.Tensor:
        """(256, f, f), float32."""
        key = self._teacher_key.copy()
        key.update(str(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
        path = self._folder / f"{key.hexdigest()[:32]}.npy"
        if not path.is_file():
            with replacing(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, _embedded(self._teacher, picture).half().numpy())
        return torch.from_numpy(np.load(path, mmap_mode="r").astype(np.float32))


@torch.no_grad()
def _embedded(predictor: SamPredictor, picture: NDArray[np.uint8]) -> torch.Tensor:
    return predictor.encode(picture).embedding[0].clone().cpu()


def _error(student: SamPredictor, wanted: _Embeddings, pictures: list[NDArray[np.uint8]]) -> float:
    """Mean relative error ||student - teacher|| / ||teacher||."""
    errors = []
    for picture in pictures:
        target = wanted.of(picture)
        errors.append(float((_embedded(student, picture) - target).norm() / target.norm()))
    return float(np.mean(errors))


def _pictures(cases: list[Case], recipe: Distillation) -> list[NDArray[np.uint8]]:
    """Frames of the cases; labels are not looked at."""
    from delineate.preprocess.intensity import eight_bit

    found = []
    for case in cases:
        scan = case.open().scan
        for n in np.unique(np.linspace(0, len(scan) - 1, min(len(scan), recipe.frames)).astype(int)):
            found.append(eight_bit(scan.frame(int(n))))
    return found


def _turned(picture: NDArray[np.uint8], recipe: Distillation, rng: np.random.Generator) -> NDArray[np.uint8]:
    if recipe.flips and rng.random() < 0.5:
        picture = picture[:, ::-1]
    if recipe.flips and rng.random() < 0.5:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)
