"""Quill on one's own labels: everything learns, from the model that ships, on a CPU.

Ours; what it gained on ten pictures is in docs/reference/training.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delineate.core.errors import MissingExtraError, ModelError
from delineate.data.cases import Case
from delineate.predictors.capabilities import NetworkKind
from delineate.training.adapted import run_adapted
from delineate.training.loop import LoopOptions, Schedule, Tell, TrainingOutcome
from delineate.training.recipes.recipe import Recipe, RecipeOverrides

if TYPE_CHECKING:
    from delineate.quill.train.finetune import QuillFinetune


def options(output: Path) -> QuillFinetune:
    """As chosen."""
    from delineate.quill.train.finetune import QuillFinetune

    loop = LoopOptions(
        output, steps=150, rate=2e-4, weight_decay=0.02, warmup=10, schedule=Schedule.COSINE, every=25,
        precision="bf16",
    )  # fmt: skip
    return QuillFinetune(loop)


def asked(wishes: RecipeOverrides) -> QuillFinetune:
    """The figures with what was asked for. Raises ModelError for what Quill does not have."""
    if any(wish is not None for wish in (wishes.part, wishes.adapter, wishes.teacher, wishes.flips)):
        raise ModelError(
            "E-TRAIN-PART",
            "Quill is small: all of it is trained, without a teacher, on pictures turned any way.",
            "Leave --part, --peft, --teacher and --flips out.",
        )
    recipe = options(wishes.output)
    chosen = {name: getattr(wishes, name) for name in ("batch", "held_out") if getattr(wishes, name) is not None}
    return replace(recipe, loop=wishes.of_loop(recipe.loop), probe=wishes.probe, **chosen)


def run(predictor: Any, cases: Sequence[Case], wishes: RecipeOverrides, tell: Tell | None = None) -> TrainingOutcome:
    """Train; the weights are an exported model. Raises MissingExtraError where onnx is not installed."""
    try:
        from delineate.quill.train.finetune import MODEL, quill_objective, remove_measurement_files
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error
    from delineate.compute.engine import Engine

    recipe = asked(wishes)
    if wishes.precision is None:  # bf16 takes eight times as long on processors that have no instructions for it
        recipe = replace(recipe, loop=replace(recipe.loop, precision=Engine.chosen("cpu").precision))
    outcome = run_adapted(quill_objective(predictor, cases, recipe), recipe.loop, recipe.probe, tell)
    remove_measurement_files(wishes.output)
    return outcome if outcome.weights is None else replace(outcome, weights=wishes.output / MODEL)


RECIPE = Recipe(
    "quill",
    "quill",
    "all of Quill, from the model that ships: crops of one's own pictures, a quarter of them synthetic; on a CPU",
    "ours",
    run,
    asked,
    trains=NetworkKind.QUILL,
)
