"""SSL-ALPNet's training, and DINOv2-SSL's with adapters: superpixels are the structures, no label is learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from delineate.core.errors import ModelError
from delineate.data.cases import Case
from delineate.predictors.capabilities import NetworkKind
from delineate.training.alpnet import AlpnetTraining, train_alpnet
from delineate.training.loop import LoopOptions, Tell, TrainingOutcome
from delineate.training.recipes.recipe import Recipe, RecipeOverrides


def options(output: Path) -> AlpnetTraining:
    """Two weighted losses 1:1. AdamW where the authors take SGD 1e-3 for 100,000 steps: fewer steps are enough."""
    return AlpnetTraining(LoopOptions(output, steps=2000, rate=3e-4, weight_decay=5e-4, every=200))


def asked(wishes: RecipeOverrides) -> AlpnetTraining:
    """With what was asked for. Raises ModelError for a teacher, and for parts that are no encoder."""
    if wishes.teacher is not None or wishes.part is not None or wishes.flips is not None:
        raise ModelError(
            "E-TRAIN-OPTION",
            "alpnet trains the encoder from superpixels: it has no teacher, no parts and no flips.",
            "Leave --teacher, --part and --flips out; --peft lora trains adapters alone.",
        )
    recipe = options(wishes.output)
    given = {name: getattr(wishes, name) for name in ("batch", "held_out") if getattr(wishes, name) is not None}
    return replace(recipe, loop=wishes.of_loop(recipe.loop), adapter=wishes.adapter, **given)


def _run(predictor: Any, cases: Sequence[Case], wishes: RecipeOverrides, tell: Tell | None = None) -> TrainingOutcome:
    return train_alpnet(predictor, cases, asked(wishes), tell)


RECIPE = Recipe(
    "alpnet",
    "alpnet",
    "superpixels as structures, no labels; support and query are one slice augmented twice; alignment loss",
    "arXiv 2007.09886 and its released configuration; with --peft lora arXiv 2403.03273",
    _run,
    asked,
    NetworkKind.FEATURES,
)
FOR_SAM = replace(
    RECIPE,
    name="alpnet_sam",
    system="any SAM-shaped system",
    summary=f"{RECIPE.summary}; of the image encoder of a promptable system",
    trains=NetworkKind.SAM,
)
