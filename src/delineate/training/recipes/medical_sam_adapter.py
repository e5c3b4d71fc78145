"""Medical SAM Adapter on pictures, from a click (arXiv 2304.12620; train.py of its repository).

Published: Adam 1e-4, halved every ten epochs, one click a picture, binary cross entropy; the adapters learn, and in the
released code's variants the mask decoder too. Here cross entropy and Dice, as weights begin from SAM or from nothing.
"""

from __future__ import annotations

from pathlib import Path

from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.losses import MEDSAM_LOSSES
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.recipes.parts_recipe import parts_recipe


def options(output: Path) -> Finetune:
    """As published, but for the length and the loss."""
    return Finetune(
        LoopOptions(output, steps=600, rate=1e-4, weight_decay=0.0, schedule=Schedule.STEP, every=100),
        TrainedPart.ENCODER,
        batch=4,
        prompts=PromptPolicy.POINT,
        losses=MEDSAM_LOSSES,
        flips=0.5,
    )


RECIPE = parts_recipe(
    "medical_sam_adapter",
    "the adapters alone, from one click; cross entropy and Dice; Adam 1e-4, halved twice",
    "arXiv 2304.12620; train.py of its repository",
    options,
)
