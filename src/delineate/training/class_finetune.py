"""Training a network that names what it sees, on clips with neighbors: MediViSTA, MA-SAM, SAMed, SAM-Adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.adapters.freeze import FreezePolicy
from delineate.checkpoints.system_file import SystemCard, write_system
from delineate.core.errors import ModelError
from delineate.core.manifest import ModelRecord
from delineate.data.cases import Case
from delineate.predictors.clip_classes import ClipClassPredictor
from delineate.systems import SYSTEMS
from delineate.training.activations import forget_activations
from delineate.training.class_clips import NOT_LABELED, LabeledClips, class_of, named, split_clips
from delineate.training.finetune import freeze_batch_norm
from delineate.training.loop import BEST, LoopOptions, Tell, TrainingOutcome, train
from delineate.training.run_files import read_arrays


@dataclass(frozen=True)
class ClassFinetune:
    """What is trained on what.

    batch     clips a step, each as deep as the system sees together
    entropy, dice, iou  weights of the losses
    whole     everything learns; else what the system's own table says (``System.policy``)
    flips     chance of a clip being mirrored, left and right
    held_out  share of subjects to measure on
    checkpointing  activations of the encoder are computed again on the way back, not kept
    """

    loop: LoopOptions
    batch: int = 2
    entropy: float = 1.0
    dice: float = 0.0
    iou: float = 0.0
    whole: bool = False
    flips: float = 0.0
    held_out: float = 0.25
    checkpointing: bool = False


class ClassObjective:
    """An ``Objective``: cross entropy, Dice and IoU on labeled frames, whose neighbors are seen with them."""

    def __init__(
        self, predictor: ClipClassPredictor, training: LabeledClips, testing: LabeledClips, recipe: ClassFinetune
    ) -> None:
        self.predictor, self.training, self.testing, self.recipe = predictor, training, testing, recipe
        self.network: Any = predictor.network
        self.host: Any = predictor.network.host
        self.policy = policy_of(predictor.record, recipe.whole)
        self.policy.apply(self.host)
        if recipe.checkpointing:
            forget_activations(self.host.vision_encoder)

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": [p for p in self.host.parameters() if p.requires_grad], "name": "learned"}]

    def modules(self) -> nn.Module:
        return self.host

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Mean over the clips of a step."""
        if not self.recipe.whole:
            freeze_batch_norm(self.host.vision_encoder)
            self.policy.keep_statistics(self.host)
        parts = [self._of_clip(rng) for _ in range(self.recipe.batch)]
        losses = {name: torch.stack([one[name] for one in parts]).mean() for name in parts[0]}
        total = torch.stack([getattr(self.recipe, name) * one for name, one in losses.items()]).sum()
        return {"total": total, **losses}

    def _of_clip(self, rng: np.random.Generator) -> dict[str, Tensor]:
        clip = self.training.drawn(rng)
        if rng.random() < self.recipe.flips:
            clip = clip.mirrored()
        device = self.predictor.engine.device
        logits = self.network.classify(clip.pixels.to(device), len(clip.pixels)).float()
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        wanted = clip.classes.to(device)
        logits = F.interpolate(logits, size=wanted.shape[-2:], mode="bilinear")
        entropy = F.cross_entropy(logits, wanted, ignore_index=NOT_LABELED)
        return {"entropy": entropy, "dice": soft_dice(logits, wanted), "iou": soft_iou(logits, wanted)}

    @torch.no_grad()
    def measure(self) -> float:
        """Mean Dice of the classes on held-out clips, outlined as in use: all frames, window by window."""
        scores: list[float] = []
        for opened in self.testing.all_opened():
            table, known = class_of(opened.case, self.predictor.classes), {f: n for n, f in enumerate(opened.frames)}
            for frame, logits in self.predictor.predict(opened.scan):
                if frame in known:
                    found, truth = logits.argmax(0), named(opened.labels_on(known[frame]), table)
                    for number in sorted(set(np.unique(truth)) - {0}):
                        sizes = (found == number).sum() + (truth == number).sum()
                        scores.append(float(2 * ((found == number) & (truth == number)).sum() / sizes))
        return float(np.mean(scores)) if scores else 0.0

    def weights(self) -> dict[str, Tensor]:
        return dict(self.host.state_dict())

    def keep(self, folder: Path) -> None:
        """The weights again, with a header that says which system of which sizes and classes they are."""
        write_system(folder / BEST, self.host.state_dict(), card_of(self.predictor))

    def take(self, weights: Path) -> None:
        self.host.load_state_dict(read_arrays(weights)[0])


def policy_of(record: ModelRecord, whole: bool = False) -> FreezePolicy:
    """What of a system learns: by its own table, or all of it. Raises ModelError for one that has no table."""
    if whole:
        return FreezePolicy.training("")
    policy = SYSTEMS[record.name].policy if record.name in SYSTEMS else None
    if policy is None:
        raise ModelError(
            "E-TRAIN-PART", f"{record.name} does not say which of its parts learn.", "Train all of it: --part all"
        )
    return policy(record.variant)


def soft_dice(logits: Tensor, wanted: Tensor, smooth: float = 1e-5) -> Tensor:
    """1 - mean Dice of the classes but the background, over labeled pixels of all frames together.

    logits (D, 1 + classes, S, S) · wanted (D, S, S)
    """
    chance, truth = _labeled(logits, wanted)
    overlap, sizes = ((one).sum((0, 2, 3))[1:] for one in (chance * truth, chance**2 + truth))
    return 1 - ((2 * overlap + smooth) / (sizes + smooth)).mean()


def soft_iou(logits: Tensor, wanted: Tensor, smooth: float = 1e-5) -> Tensor:
    """1 - mean IoU, of the same."""
    chance, truth = _labeled(logits, wanted)
    overlap, union = ((one).sum((0, 2, 3))[1:] for one in (chance * truth, chance + truth - chance * truth))
    return 1 - ((overlap + smooth) / (union + smooth)).mean()


def _labeled(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities and truth (D, 1 + classes, S, S), zero where nothing is labeled."""
    labeled = (wanted != NOT_LABELED)[:, None]
    truth = F.one_hot(wanted.clamp(min=0), logits.shape[1]).permute(0, 3, 1, 2)
    return logits.softmax(1) * labeled, truth * labeled


def card_of(predictor: ClipClassPredictor) -> SystemCard:
    """What a file of a predictor's weights says of itself."""
    record, sizes = predictor.record, predictor.network.shape.sizes.model_copy(update={"depth": predictor.depth})
    return SystemCard(system=record.name, variant=record.variant, classes=predictor.classes, sizes=sizes)


def class_finetune(
    predictor: ClipClassPredictor, cases: Sequence[Case], recipe: ClassFinetune, tell: Tell | None = None
) -> TrainingOutcome:
    """Train on some subjects, measure on others, keep the best.

    Raises InputError if no case has a class of the model or too few subjects can be held out, ModelError if the loss is
    NaN or infinite.
    """
    parts = split_clips(predictor, cases, recipe.held_out, recipe.loop.seed)
    objective = ClassObjective(predictor, *parts, recipe)
    outcome = train(objective, recipe.loop, tell)
    if outcome.weights is not None:
        objective.take(outcome.weights)
    return outcome
