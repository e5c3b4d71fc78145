"""SAM's interactive training: a point or a noisy box, then clicks on errors (arXiv 2304.02643 appendix A).

Published for 256 images a step from nothing: 8e-4, 20 focal + Dice + IoU error, eleven answers a structure, the logits
of each going back with the next click. Here for fine-tuning, at a rate for that.
"""

from __future__ import annotations

from pathlib import Path

from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.losses import SAM_LOSSES
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.recipes.recipe import finetuning


def options(output: Path) -> Finetune:
    """The decoder on kept embeddings; ``--part all`` trains the encoder too."""
    return Finetune(
        LoopOptions(output, steps=200, rate=1e-4, weight_decay=0.1, warmup=10, schedule=Schedule.COSINE),
        TrainedPart.DECODER,
        batch=4,
        prompts=PromptPolicy.SAM_ITERATIVE,
        losses=SAM_LOSSES,
    )


RECIPE = finetuning(
    "sam_iterative",
    "sam_vit_b",
    "decoder; a point or a box, then eight clicks on errors with the answer before; 20 focal + Dice + IoU error",
    "arXiv 2304.02643 appendix A",
    options,
)
