"""How published systems were trained, one file each, and the tables of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from delineate.core.errors import ModelError
from delineate.core.registry import Registry
from delineate.systems import SYSTEMS
from delineate.training.distill import Distillation
from delineate.training.recipes import kd_sam, lite_medsam, mobile_sam
from delineate.training.recipes.recipe import Recipe, RecipeOverrides

_FILES = (
    "quick", "interactive", "medsam", "medsam_point", "lite_medsam", "sam_med2d", "sam_iterative", "sam2",
    "surgical_sam2", "medsam2", "biosam2",
)  # fmt: skip
RECIPES: Registry[Recipe] = Registry(
    "delineate.recipes",
    Recipe,
    (
        *(f"delineate.training.recipes.{file}:RECIPE" for file in _FILES),
        "delineate.quill.train.recipe:RECIPE",
        "delineate.training.recipes.medsam2:FOLLOW_UP",
        "delineate.training.recipes.alpnet:RECIPE",
        "delineate.training.recipes.alpnet:FOR_SAM",
        "delineate.training.recipes.medical_sam_adapter:RECIPE",
        "delineate.training.recipes.medical_sam_adapter_3d:RECIPE",
        "delineate.training.recipes.medivista:RECIPE",
        "delineate.training.recipes.medivista:FIRST",
        "delineate.training.recipes.sam_unet:RECIPE",
        "delineate.training.recipes.samed:RECIPE",
        "delineate.training.recipes.samed:WITH_NEIGHBORS",
        "delineate.training.recipes.sam_adapter:RECIPE",
    ),
)
DISTILLATIONS: dict[str, Callable[[Path], Distillation]] = {
    "mobile_sam": mobile_sam.distillation,
    "lite_medsam": lite_medsam.distillation,
    "kd_sam": kd_sam.distillation,
}

__all__ = ["DISTILLATIONS", "RECIPES", "Recipe", "RecipeOverrides", "distillation_named", "recipe_for", "recipe_named"]


def recipe_named(name: str) -> Recipe:
    """Raises ModelError for names that are not in the table."""
    if name not in RECIPES:
        raise ModelError("E-TRAIN-RECIPE", f'There is no recipe "{name}".', f"One of: {', '.join(RECIPES)}.")
    return RECIPES[name]


def recipe_for(name: str | None, predictor: Any) -> Recipe:
    """The recipe for a system's predictor; None: its own where parts of a paper learn, else the first that fits it.

    Raises ModelError for unknown names, and for recipes of other systems.
    """
    recipe = None if name is None else recipe_named(name)
    system, kind = predictor.record.name, predictor.capabilities.network
    row = SYSTEMS.get(system)
    own = row.recipe if kind is not None and row is not None and row.policy is not None else None
    fitting = [one.name for one in RECIPES.values() if one.trains is kind or one.name == own]
    if not fitting:
        raise ModelError(
            "E-TRAIN-SYSTEM",
            f"{system} cannot be fine-tuned as it was built ({predictor.record.backend or 'no network'}).",
            "Build it with torch (BuildOptions(backend=\"torch\")), or take a system of SAM's or SAM 2's shape: "
            "delineate systems",
        )
    if recipe is None:
        return recipe_named(own if own in fitting else fitting[0])
    if name not in fitting:
        raise ModelError(
            "E-TRAIN-SYSTEM",
            f"The recipe {name} is for {recipe.system} and the like; {system} is of another shape.",
            f"For {system}: --recipe {' | '.join(fitting)}",
        )
    return recipe


def distillation_named(name: str, output: Path) -> Distillation:
    """A distillation's figures for an output folder. Raises ModelError for names that are not in the table."""
    if name not in DISTILLATIONS:
        raise ModelError(
            "E-TRAIN-RECIPE", f'There is no distillation "{name}".', f"One of: {', '.join(DISTILLATIONS)}."
        )
    return DISTILLATIONS[name](output)
