"""A recipe for systems that name what they see, and what a person may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from delineate.adapters.freeze import FreezeTable
from delineate.core.errors import ModelError
from delineate.data.cases import Case
from delineate.predictors.capabilities import NetworkKind
from delineate.training.class_clips import fitting
from delineate.training.class_finetune import ClassFinetune, class_finetune, policy_of
from delineate.training.finetune import TrainedPart
from delineate.training.loop import Tell, TrainingOutcome
from delineate.training.parts_memory_plan import planned_classes
from delineate.training.recipes.recipe import Recipe, RecipeOverrides

WARM_SHARE = 5  # of a run that is shorter than published, at most a fifth is warm-up


def wished(recipe: ClassFinetune, wishes: RecipeOverrides) -> ClassFinetune:
    """A recipe's figures with what was asked for. Raises ModelError for what these systems cannot have."""
    if wishes.teacher is not None or wishes.adapter is not None or wishes.embeddings is not None:
        raise ModelError(
            "E-TRAIN-OPTION",
            "This recipe has adapters of its own, learns from labels alone and keeps no embeddings.",
            "Leave --teacher, --peft and --embeddings out; --part all trains everything.",
        )
    if wishes.part not in (None, TrainedPart.ALL):
        raise ModelError(
            "E-TRAIN-PART", f'"{wishes.part}" is no part of this recipe.', "--part all, or nothing: the system's own."
        )
    given = {
        name: getattr(wishes, name) for name in ("batch", "held_out", "flips") if getattr(wishes, name) is not None
    }
    loop = wishes.of_loop(recipe.loop)
    loop = replace(loop, warmup=min(loop.warmup, loop.steps // WARM_SHARE))
    whole = wishes.part is TrainedPart.ALL
    return replace(recipe, loop=loop, whole=whole, checkpointing=wishes.checkpointing, **given)


def class_recipe(name: str, system: str, summary: str, source: str, options: Callable[[Path], ClassFinetune]) -> Recipe:
    """A row of the table of recipes; ``options`` are its figures for an output folder."""

    def asked(wishes: RecipeOverrides) -> ClassFinetune:
        return wished(options(wishes.output), wishes)

    def run(
        predictor: Any, cases: Sequence[Case], wishes: RecipeOverrides, tell: Tell | None = None
    ) -> TrainingOutcome:
        return class_finetune(predictor, cases, asked(wishes), tell)

    def learned(predictor: Any, recipe: ClassFinetune) -> FreezeTable:
        return policy_of(predictor.record, recipe.whole).table(predictor.network.host)

    return Recipe(
        name, system, summary, source, run, asked, NetworkKind.CLASSES, planned_classes, fitting=fitting,
        learned=learned,
    )  # fmt: skip
