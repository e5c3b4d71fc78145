"""SAMed on pictures (arXiv 2304.13785; trainer.py) and MA-SAM on slices with neighbors (arXiv 2309.08842).

SAMed: LoRA, prompt encoder and decoder; 0.2 cross entropy + 0.8 Dice; AdamW 5e-3, weight decay 0.1, 250 steps of
warm-up, polynomial decay (0.9). MA-SAM: FacT, convolutions along slices and decoder; the same losses; 8e-4, power 7.
"""

from __future__ import annotations

from pathlib import Path

from delineate.training.class_finetune import ClassFinetune
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.recipes.class_recipe import class_recipe


def options(output: Path) -> ClassFinetune:
    """SAMed's, as published, but for the length."""
    loop = LoopOptions(
        output, steps=3000, rate=5e-3, weight_decay=0.1, warmup=250, schedule=Schedule.POLYNOMIAL, power=0.9, every=250
    )
    return ClassFinetune(loop, batch=12, entropy=0.2, dice=0.8)


def with_neighbors(output: Path) -> ClassFinetune:
    """MA-SAM's, as published, but for the length."""
    loop = LoopOptions(
        output, steps=3000, rate=8e-4, weight_decay=0.1, warmup=250, schedule=Schedule.POLYNOMIAL, power=7.0, every=250
    )
    return ClassFinetune(loop, batch=4, entropy=0.2, dice=0.8)


RECIPE = class_recipe(
    "samed",
    "samed",
    "LoRA, prompt encoder and decoder; 0.2 cross entropy + 0.8 Dice; AdamW 5e-3",
    "arXiv 2304.13785; trainer.py of its repository",
    options,
)
WITH_NEIGHBORS = class_recipe(
    "ma_sam",
    "ma_sam",
    "FacT, convolutions along the slices and decoder, on slices with their neighbors; 0.2 cross entropy + 0.8 Dice",
    "arXiv 2309.08842; trainer.py of its repository",
    with_neighbors,
)
