"""A recipe that is one fine-tuning on clips, and what a person may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from delineate.core.errors import ModelError
from delineate.data.cases import Case
from delineate.predictors.capabilities import NetworkKind
from delineate.training.finetune import TrainedPart
from delineate.training.layer_rates import EVERYTHING, Sam2Part
from delineate.training.loop import Tell, TrainingOutcome
from delineate.training.recipes.recipe import Recipe, RecipeOverrides
from delineate.training.sam2_objective import Sam2Finetune, Sam2Objective, run_sam2, sam2_objective, with_changes

PARTS: dict[TrainedPart, tuple[Sam2Part, ...]] = {
    TrainedPart.DECODER: (Sam2Part.DECODER,),
    TrainedPart.ENCODER: (Sam2Part.ENCODER,),
    TrainedPart.ALL: EVERYTHING,
}
MakesObjective = Callable[[Any, Sequence[Case], Sam2Finetune], Sam2Objective]


def wished(recipe: Sam2Finetune, wishes: RecipeOverrides) -> Sam2Finetune:
    """A recipe's figures with what was asked for.

    Raises ModelError for a teacher, which these recipes cannot have.
    """
    if wishes.teacher is not None:
        raise ModelError(
            "E-TRAIN-TEACHER", "This recipe learns from labels alone, not from a teacher.", "Leave --teacher out."
        )
    parts = None if wishes.part is None else PARTS[wishes.part]
    if wishes.adapter is not None and wishes.part is None and Sam2Part.ENCODER not in recipe.parts:
        parts = (Sam2Part.ENCODER, *recipe.parts)
    changes: dict[str, Any] = {"batch": wishes.batch, "held_out": wishes.held_out, "rate": wishes.rate, "parts": parts}
    if Sam2Part.ENCODER in (parts or recipe.parts):
        changes["keep"] = False
    clips = recipe.clips
    clips = replace(clips, frames=wishes.frames or clips.frames, objects=wishes.objects or clips.objects)
    if wishes.flips is not None and clips.augment is not None:
        clips = replace(clips, augment=replace(clips.augment, flip=wishes.flips))
    loop = wishes.of_loop(recipe.loop)
    return with_changes(
        recipe, changes | {"loop": loop, "clips": clips, "adapter": wishes.adapter,
                           "checkpointing": wishes.checkpointing, "probe": wishes.probe},
    )  # fmt: skip


def sequence_recipe(
    name: str,
    system: str,
    summary: str,
    source: str,
    options: Callable[[Path], Sam2Finetune],
    objective: MakesObjective = sam2_objective,
) -> Recipe:
    """A row of the table of recipes; ``options`` are its figures for an output folder."""

    def asked(wishes: RecipeOverrides) -> Sam2Finetune:
        return wished(options(wishes.output), wishes)

    def run(
        predictor: Any, cases: Sequence[Case], wishes: RecipeOverrides, tell: Tell | None = None
    ) -> TrainingOutcome:
        return run_sam2(objective(predictor, cases, asked(wishes)), tell)

    return Recipe(name, system, summary, source, run, asked, trains=NetworkKind.SAM2)
