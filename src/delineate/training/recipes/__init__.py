"""How published systems were trained, one file each, and the tables of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from delineate.errors import ModelError
from delineate.training.distill import Distillation
from delineate.training.recipes import (
    kd_sam,
    lite_medsam,
    medsam,
    medsam_point,
    mobile_sam,
    quick,
    sam_iterative,
    sam_med2d,
)
from delineate.training.recipes.recipe import Recipe, Wishes

_FILES = (quick, medsam, medsam_point, lite_medsam, sam_med2d, sam_iterative)
RECIPES: dict[str, Recipe] = {file.RECIPE.name: file.RECIPE for file in _FILES}
DISTILLATIONS: dict[str, Callable[[Path], Distillation]] = {
    "mobile_sam": mobile_sam.distillation,
    "lite_medsam": lite_medsam.distillation,
    "kd_sam": kd_sam.distillation,
}

__all__ = ["DISTILLATIONS", "RECIPES", "Recipe", "Wishes", "distillation_named", "recipe_named"]


def recipe_named(name: str) -> Recipe:
    """Raises ModelError for names that are not in the table."""
    if name not in RECIPES:
        raise ModelError("E-TRAIN-RECIPE", f'There is no recipe "{name}".', f"One of: {', '.join(RECIPES)}.")
    return RECIPES[name]


def distillation_named(name: str, output: Path) -> Distillation:
    """A distillation's figures for an output folder. Raises ModelError for names that are not in the table."""
    if name not in DISTILLATIONS:
        raise ModelError(
            "E-TRAIN-RECIPE", f'There is no distillation "{name}".', f"One of: {', '.join(DISTILLATIONS)}."
        )
    return DISTILLATIONS[name](output)
