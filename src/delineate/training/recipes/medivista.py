"""MediViSTA on clips of heart ultrasound (IEEE JBHI 2025; lora_trainer of its repository), and its first version.

Published: AdamW 8e-4, weight decay 0.1, 250 steps of warm-up, polynomial decay to the power 7, two clips of ten frames
a step, cross entropy alone, 256 px; FacT, temporal fusion, branch and decoder learn on a frozen SAM ViT-B. Of the first
version no recipe was published; ours has Dice beside cross entropy, and decays nearly evenly.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from delineate.training.class_finetune import ClassFinetune
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.recipes.class_recipe import class_recipe


def options(output: Path) -> ClassFinetune:
    """As published, but for the length."""
    loop = LoopOptions(
        output, steps=3000, rate=8e-4, weight_decay=0.1, warmup=250, schedule=Schedule.POLYNOMIAL, power=7.0, every=250
    )
    return ClassFinetune(loop, batch=2)


def first(output: Path) -> ClassFinetune:
    """Of the first version: ours."""
    recipe = options(output)
    return replace(recipe, dice=1.0, loop=replace(recipe.loop, warmup=50, power=0.9))


RECIPE = class_recipe(
    "medivista",
    "medivista",
    "FacT, temporal fusion, branch and decoder on clips with their neighbors; cross entropy; AdamW 8e-4",
    "the authors' repository (November 2024)",
    options,
)
FIRST = class_recipe(
    "medivista_sam",
    "medivista_sam",
    "stem, temporal parts, adapters and decoder on clips with their neighbors; cross entropy and Dice; AdamW 8e-4",
    "arXiv 2309.13539; figures of its successor, as none were published",
    first,
)
