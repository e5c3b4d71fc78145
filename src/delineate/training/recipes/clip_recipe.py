"""A recipe that is one fine-tuning on clips, and what a person may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from delineate.data.cases import Case
from delineate.errors import ModelError
from delineate.runtimes.sam2 import Sam2Predictor
from delineate.training.loop import Outcome, Tell
from delineate.training.recipes.recipe import Recipe, Wishes
from delineate.training.sam2_objective import Sam2Finetune, Sam2Objective, run_sam2, sam2_objective, with_changes

MakesObjective = Callable[[Any, Sequence[Case], Sam2Finetune], Sam2Objective]


def wished(recipe: Sam2Finetune, wishes: Wishes) -> Sam2Finetune:
    """A recipe's figures with what was asked for.

    Raises ModelError for wishes these recipes cannot fulfil.
    """
    if wishes.part is not None or wishes.adapter is not None or wishes.teacher is not None:
        raise ModelError(
            "E-TRAIN-PART",
            "This recipe says itself which parts are trained, and knows no adapters and no teacher.",
            "Leave --part, --peft and --teacher out.",
        )
    changes = {"batch": wishes.batch, "held_out": wishes.held_out, "rate": wishes.rate}
    loop = wishes.of_loop(recipe.loop)
    return with_changes(recipe, changes | {"loop": loop, "checkpointing": wishes.checkpointing})


def clip_recipe(
    name: str,
    system: str,
    summary: str,
    source: str,
    options: Callable[[Path], Sam2Finetune],
    objective: MakesObjective = sam2_objective,
) -> Recipe:
    """A row of the table of recipes; ``options`` are its figures for an output folder."""

    def run(predictor: Any, cases: Sequence[Case], wishes: Wishes, tell: Tell | None = None) -> Outcome:
        return run_sam2(objective(predictor, cases, wished(options(wishes.output), wishes)), tell)

    return Recipe(name, system, summary, source, run, trains=Sam2Predictor)
