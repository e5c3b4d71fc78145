"""SAM-UNet on pictures, from a box (arXiv 2408.09886 v1; train.py of its repository).

Published: Adam 1e-4, halved after epochs 5 and 10 of 12, focal loss + 20 Dice loss (SAM has it the other way round),
a box moved as a whole by up to 5 pixels; all but SAM's encoder learns, the ResNet from ImageNet's weights. Where the
ResNet begins from nothing, as in a network that was not published, it needs more steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from delineate.core.errors import ModelError
from delineate.data.cases import Case
from delineate.training.finetune import Finetune, TrainedPart, run_finetune
from delineate.training.frames import split_frames
from delineate.training.loop import LoopOptions, Schedule, Tell, TrainingOutcome
from delineate.training.losses import MaskLoss
from delineate.training.parts_memory_plan import planned_pictures
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.recipes.medical_sam_adapter import AdaptersObjective, own_parts
from delineate.training.recipes.recipe import Recipe, RecipeOverrides

NAME = "sam_unet"


def options(output: Path) -> Finetune:
    """As published, but for the length and the batch (50 on each of four GPUs)."""
    return Finetune(
        LoopOptions(output, steps=3000, rate=1e-4, weight_decay=0.0, schedule=Schedule.STEP, every=250),
        TrainedPart.ENCODER,
        batch=10,
        of_each=5,
        prompts=PromptPolicy.SHIFTED_BOX,
        losses=((MaskLoss.FOCAL, 1.0), (MaskLoss.PLAIN_DICE, 20.0)),
        full_size=True,
    )


def asked(wishes: RecipeOverrides) -> Finetune:
    """With what was asked for. Raises ModelError for low-rank adapters, and for the decoder alone."""
    return own_parts(wishes, options(wishes.output))


def run(predictor: Any, cases: Sequence[Case], wishes: RecipeOverrides, tell: Tell | None = None) -> TrainingOutcome:
    """Train all but SAM's encoder. Raises ModelError for another system."""
    recipe = asked(wishes)
    if not predictor.record.name.startswith(NAME):
        raise ModelError(
            "E-TRAIN-SYSTEM",
            f"{predictor.record.name} has no network beside its encoder.",
            "Take -m sam_unet, or another recipe: delineate train recipes",
        )
    return run_finetune(AdaptersObjective(predictor, *split_frames(predictor, cases, recipe.frames), recipe), tell)


RECIPE = Recipe(
    NAME,
    NAME,
    "ResNet, bridges and decoder on a frozen SAM, from a box; focal + 20 Dice; Adam 1e-4, halved twice",
    "arXiv 2408.09886 (version 1); train.py of its repository",
    run,
    asked,
    plan=planned_pictures,
)
