"""LiteMedSAM in two stages: MedSAM's embeddings, then all of it on labels (branch LiteMedSAM of MedSAM's repository).

Stage 1: mean squared error of embeddings, AdamW 5e-4, weight decay 1e-3, epsilon 1e-6, batch 8, mirrored pictures,
the student's picture stretched as the teacher's. Stage 2: everything trained with AdamW 5e-5, batch 4, boxes moved
outwards by up to 5 px at 256; Dice, cross entropy and IoU error 1:1:1; the rate falls by a tenth when the loss stalls
for five epochs, here for five measurements. The prompt encoder stays frozen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from delineate.data.cases import Case
from delineate.training.distill import Distillation, FeatureLoss, distill
from delineate.training.finetune import Finetune, TrainedPart, finetune
from delineate.training.loop import LoopOptions, Schedule, Tell, TrainingOutcome
from delineate.training.losses import LITE_MEDSAM_LOSSES
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.recipes.recipe import Recipe, RecipeOverrides


def distillation(output: Path) -> Distillation:
    """Stage 1."""
    loop = LoopOptions(output, steps=400, rate=5e-4, weight_decay=1e-3, schedule=Schedule.COSINE)
    return Distillation(loop, ((FeatureLoss.MSE, 1.0),), batch=8, flips=True, epsilon=1e-6)


def options(output: Path) -> Finetune:
    """Stage 2."""
    return Finetune(
        LoopOptions(output, steps=400, rate=5e-5, weight_decay=0.01, schedule=Schedule.PLATEAU),
        TrainedPart.ALL,
        batch=4,
        prompts=PromptPolicy.BOX,
        losses=LITE_MEDSAM_LOSSES,
        full_size=True,  # its logits have the input's size; those of other systems are enlarged to it
        flips=0.5,
    )


def run(predictor: Any, cases: Sequence[Case], wishes: RecipeOverrides, tell: Tell | None = None) -> TrainingOutcome:
    """Both stages where a teacher is given, in folders ``stage1`` and ``stage2``; else the second alone."""
    second = replace(wishes, teacher=None).of(options(wishes.output))
    if wishes.teacher is None:
        return finetune(predictor, cases, second, tell)
    first = replace(wishes, rate=None).of_distillation(distillation(wishes.output / "stage1"))
    first = replace(first, held_out=second.held_out)
    distill(wishes.teacher, predictor, cases, first, tell)
    return finetune(predictor, cases, replace(second, loop=replace(second.loop, output=wishes.output / "stage2")), tell)


RECIPE = Recipe(
    "lite_medsam",
    "lite_medsam",
    "1: MedSAM's embeddings (with --teacher); 2: all of it, Dice, cross entropy and IoU error 1:1:1, AdamW 5e-5",
    "MedSAM repository, branch LiteMedSAM",
    run,
    lambda wishes: replace(wishes, teacher=None).of(options(wishes.output)),
    prompted=True,
)
