"""SAM-UNet on pictures, from a box (arXiv 2408.09886 v1; train.py of its repository).

Published: Adam 1e-4, halved after epochs 5 and 10 of 12, focal loss + 20 Dice loss (SAM has it the other way round),
a box moved as a whole by up to 5 pixels; all but SAM's encoder learns, the ResNet from ImageNet's weights. Where the
ResNet begins from nothing, as in a network that was not published, it needs more steps.
"""

from __future__ import annotations

from pathlib import Path

from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.losses import MaskLoss
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.recipes.parts_recipe import parts_recipe


def options(output: Path) -> Finetune:
    """As published, but for the length and the batch (50 on each of four GPUs)."""
    return Finetune(
        LoopOptions(output, steps=3000, rate=1e-4, weight_decay=0.0, schedule=Schedule.STEP, every=250),
        TrainedPart.ENCODER,
        batch=10,
        of_each=5,
        prompts=PromptPolicy.SHIFTED_BOX,
        losses=((MaskLoss.FOCAL, 1.0), (MaskLoss.PLAIN_DICE, 20.0)),
        full_size=True,
    )


RECIPE = parts_recipe(
    "sam_unet",
    "ResNet, bridges and decoder on a frozen SAM, from a box; focal + 20 Dice; Adam 1e-4, halved twice",
    "arXiv 2408.09886 (version 1); train.py of its repository",
    options,
)
