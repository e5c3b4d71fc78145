"""MedSAM's point extension: the decoder alone, one point a structure (extensions/point_prompt of its repository).

Published: from MedSAM, batch 16, AdamW 5e-5, weight decay 0.01, losses at the logits' size, pictures mirrored half of
the time (here only where embeddings are not kept). There x and y of the point are drawn apart from each other, so
that it can miss the structure; here it is one of its pixels.
"""

from __future__ import annotations

from pathlib import Path

from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.loop import LoopOptions
from delineate.training.losses import MEDSAM_LOSSES
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.recipes.recipe import finetuning


def options(output: Path) -> Finetune:
    """As published, but for the length."""
    return Finetune(
        LoopOptions(output, steps=400, rate=5e-5, weight_decay=0.01),
        TrainedPart.DECODER,
        batch=16,
        prompts=PromptPolicy.POINT,
        losses=MEDSAM_LOSSES,
        flips=0.5,
    )


RECIPE = finetuning(
    "medsam_point",
    "medsam_point",
    "decoder alone on kept embeddings; one random pixel of the structure as the click; AdamW 5e-5",
    "MedSAM repository, extensions/point_prompt",
    options,
)
