"""Fine-tuning a SAM-shaped system on labelled scans: ``delineate train finetune``.

Box prompts as MedSAM trains (each side moved outwards at random), Dice and cross entropy (arXiv 2304.12306). With
``part = decoder`` every embedding is computed once and kept, so that a step costs milliseconds. The system is measured
before the first step; only weights that are better on held-out subjects are kept.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from delineate.data.cases import Case, Task
from delineate.data.check import split_by_subject
from delineate.errors import InputError, ModelError
from delineate.io.atomic import replacing
from delineate.models.sam import SamPrompts
from delineate.preprocess.fitting import Fitted
from delineate.runtimes.sam import SamPredictor
from delineate.training.losses import dice_loss
from delineate.training.prompt_simulation import Rng, bounding_box

LEAST_PIXELS = 20


class Part(StrEnum):
    DECODER = "decoder"  # mask decoder alone, on kept embeddings
    ALL = "all"  # encoder and decoder, prompt encoder frozen (MedSAM)


@dataclass(frozen=True)
class Finetune:
    """The recipe.

    output   folder for weights and log
    steps    optimiser steps
    batch    structures a step
    outward  input pixels at 1024 px a box side is moved outwards by, at most (MedSAM: 20)
    held_out share of subjects to measure on
    every    steps between measurements
    slices   of a volume or video that are used, at most, spread evenly
    """

    output: Path
    part: Part = Part.DECODER
    steps: int = 400
    batch: int = 8
    rate: float = 1e-4
    weight_decay: float = 0.01
    outward: float = 20.0
    held_out: float = 0.25
    every: int = 50
    slices: int = 4
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Frame:
    """One frame, prepared: pixels, or what the encoder made of them; its structures at the input's size."""

    pixels: Tensor
    embedding: Tensor | None
    masks: NDArray[np.bool_]  # (N, side, side)
    place: Fitted


@dataclass(frozen=True)
class Outcome:
    """Mean Dice on held-out structures, before and at best; the weights (None where nothing was better)."""

    before: float
    best: float
    step: int
    weights: Path | None


def finetune(
    predictor: SamPredictor, cases: list[Case], recipe: Finetune, tell: Callable[[dict[str, float]], None] | None = None
) -> Outcome:
    """Train, measure, keep the best. ``tell`` is called with each measurement.

    Raises InputError if there are too few subjects to hold any out, ModelError if the loss is no number.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    learned, held = split_by_subject(cases, (1 - recipe.held_out, recipe.held_out), recipe.seed)
    training, testing = (_frames(predictor, part, recipe) for part in (learned, held))
    if not training or not testing:
        raise InputError(
            "E-TRAIN-FEW", f"{len(cases)} cases are too few to train on some and to measure on others.", "Add subjects."
        )
    recipe.output.mkdir(parents=True, exist_ok=True)
    network = predictor.network
    trained = _trained(predictor, recipe.part)
    optimizer = torch.optim.AdamW(trained, recipe.rate, weight_decay=recipe.weight_decay)
    before = best = _measured(predictor, testing)
    best_step, weights = 0, None
    log = recipe.output / "log.jsonl"
    log.unlink(missing_ok=True)
    began = time.monotonic()
    losses: list[float] = []
    for step in range(1, recipe.steps + 1):
        loss = torch.stack([_loss(predictor, training, recipe, rng) for _ in range(recipe.batch)]).mean()
        if not math.isfinite(loss.item()):
            raise ModelError(
                "E-TRAIN-NAN", f"The loss is no number at step {step}.", f"{recipe.output} holds the best."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % recipe.every and step != recipe.steps:
            continue
        found = _measured(predictor, testing)
        if found > best:
            best, best_step, weights = found, step, recipe.output / "best.safetensors"
            with replacing(weights) as temporary:
                save_file({k: v.contiguous().clone() for k, v in network.host.state_dict().items()}, temporary)
        line = {
            "step": step, "loss": round(float(np.mean(losses)), 4), "dice": round(found, 4), "before": round(before, 4),
            "minutes_left": round((time.monotonic() - began) / step * (recipe.steps - step) / 60, 1),
        }  # fmt: skip
        losses.clear()
        with log.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        if tell is not None:
            tell(line)
    return Outcome(before, best, best_step, weights)


def _trained(predictor: SamPredictor, part: Part) -> list[torch.nn.Parameter]:
    host = predictor.network.host
    for parameter in host.parameters():
        parameter.requires_grad_(False)
    modules = [host.mask_decoder] + ([host.vision_encoder] if part is Part.ALL else [])
    for module in modules:
        module.requires_grad_(True)
    return [p for module in modules for p in module.parameters()]


def _frames(predictor: SamPredictor, cases: list[Case], recipe: Finetune) -> list[_Frame]:
    """The frames to learn from: of each case those with most labelled pixels among evenly spread ones."""
    found = []
    for case in cases:
        opened = case.open()
        labelled = [n for n in range(len(opened.labels)) if (opened.labels.frame(n) > 0).any()]
        most = 1 if case.task is Task.IMAGE else recipe.slices
        for n in np.unique(np.linspace(0, len(labelled) - 1, most).astype(int)) if labelled else ():
            frame = _prepared(
                predictor, opened.scan.frame(opened.frames[labelled[n]]), opened.labels.frame(labelled[n])
            )
            if frame is not None:
                found.append(frame if recipe.part is Part.ALL else _embedded(predictor, frame))
    return found


def _prepared(predictor: SamPredictor, frame: NDArray, labels: NDArray) -> _Frame | None:
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
    return _Frame(torch.from_numpy(pixels), None, np.stack(masks), place) if masks else None


@torch.no_grad()
def _embedded(predictor: SamPredictor, frame: _Frame) -> _Frame:
    embedding = predictor.network.embed(frame.pixels[None].to(predictor.engine.device)).half().cpu()
    return _Frame(torch.zeros(0), embedding, frame.masks, frame.place)


def _loss(predictor: SamPredictor, frames: list[_Frame], recipe: Finetune, rng: Rng) -> Tensor:
    """Dice and cross entropy of one structure of one frame."""
    frame = frames[rng.integers(len(frames))]
    mask = frame.masks[rng.integers(len(frame.masks))]
    box = outward_box(rng, mask, recipe.outward * frame.place.side / 1024)
    logits = _answer(predictor, frame, box)
    truth = F.interpolate(
        torch.from_numpy(mask).float()[None, None].to(logits.device), size=logits.shape[-2:], mode="area"
    )
    return F.binary_cross_entropy_with_logits(logits, truth) + dice_loss(logits, truth)


def outward_box(rng: Rng, mask: NDArray[np.bool_], most: float) -> tuple[float, float, float, float]:
    """The bounding box, each side moved outwards by 0 to ``most`` pixels by itself, within the picture (MedSAM)."""
    x0, y0, x1, y1 = bounding_box(mask)
    a, b, c, d = rng.uniform(0, most, 4)
    height, width = mask.shape
    return max(0.0, x0 - a), max(0.0, y0 - b), min(float(width), x1 + c), min(float(height), y1 + d)


def _answer(predictor: SamPredictor, frame: _Frame, box: tuple[float, float, float, float]) -> Tensor:
    """Logits (1, 1, 4 f, 4 f) for a box in input pixels."""
    device = predictor.engine.device
    if frame.embedding is None:
        embedding = predictor.network.embed(frame.pixels[None].to(device))
    else:
        embedding = frame.embedding.float().to(device)
    return predictor.network.decode(embedding, SamPrompts(boxes=torch.tensor([box], device=device)), multimask=False)[0]


@torch.no_grad()
def _measured(predictor: SamPredictor, frames: list[_Frame]) -> float:
    """Mean Dice of every structure with its own box."""
    scores = []
    for frame in frames:
        for mask in frame.masks[:12]:
            x0, y0, x1, y1 = (float(v) for v in bounding_box(mask))
            logits = _answer(predictor, frame, (x0, y0, x1, y1))
            found = F.interpolate(logits, size=mask.shape, mode="bilinear")[0, 0].cpu().numpy() > 0
            scores.append(2 * (found & mask).sum() / max(1, found.sum() + mask.sum()))
    return float(np.mean(scores))
