"""MedSAM: encoder and decoder on boxes (Ma et al., arXiv 2304.12306; train_multi_gpus.py of its repository).

Published: batch 8 a GPU on 20 GPUs, AdamW 1e-4, weight decay 0.01, constant rate, 150 epochs of 1.5 M masks. One
structure of a slice and one box a step; the prompt encoder stays frozen; logits are enlarged to the labels' size.
"""

from __future__ import annotations

from pathlib import Path

from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.loop import LoopOptions
from delineate.training.losses import MEDSAM_LOSSES
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.recipes.recipe import finetuning


def options(output: Path) -> Finetune:
    """As published, but for the length and a batch that fits one card."""
    return Finetune(
        LoopOptions(output, steps=400, rate=1e-4, weight_decay=0.01),
        TrainedPart.ALL,
        batch=2,
        prompts=PromptPolicy.BOX,
        losses=MEDSAM_LOSSES,
        full_size=True,
    )


RECIPE = finetuning(
    "medsam",
    "medsam",
    "encoder and decoder; boxes moved outwards by up to 20 px at 1024; Dice and cross entropy 1:1; AdamW 1e-4",
    "arXiv 2304.12306; train_multi_gpus.py",
    options,
)
