"""SAM-Adapter on pictures (arXiv 2304.09148; train.py of its repository).

Published: AdamW 2e-4 along a cosine down to 1e-7, 20 epochs of two pictures a step, binary cross entropy and IoU; the
prompt generator and the mask decoder learn. The loop's cosine goes down to a hundredth; weights decay as torch has it.
"""

from __future__ import annotations

from pathlib import Path

from delineate.training.class_finetune import ClassFinetune
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.recipes.class_recipe import class_recipe


def options(output: Path) -> ClassFinetune:
    """As published, but for the length. Of one structure cross entropy is the binary one."""
    loop = LoopOptions(output, steps=3000, rate=2e-4, weight_decay=0.01, schedule=Schedule.COSINE, every=250)
    return ClassFinetune(loop, batch=2, entropy=1.0, iou=1.0)


RECIPE = class_recipe(
    "sam_adapter",
    "sam_adapter",
    "prompt generator and decoder on pictures with one structure; cross entropy + IoU; AdamW 2e-4",
    "arXiv 2304.09148; train.py of its repository",
    options,
)
