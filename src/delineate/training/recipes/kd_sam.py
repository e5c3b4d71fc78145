"""KD SAM: encoder first, then the decoder on labels (arXiv 2501.16740).

Stage 1: mean squared error of embeddings and a perceptual loss. Stage 2: the decoder learns labels by Dice on the
student's embeddings, the encoder fixed. Weights of the losses, optimizer and length are not in the paper; the paper's
student is a ResNet-50, here it is any encoder of the house.
"""

from __future__ import annotations

from pathlib import Path

from delineate.training.distill import Distillation
from delineate.training.feature_losses import FeatureLoss
from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.losses import MaskLoss
from delineate.training.prompt_policies import PromptPolicy

PERCEPTUAL = 0.1  # weight beside the mean squared error; not published


def distillation(output: Path) -> Distillation:
    """Both stages."""
    first = LoopOptions(output, steps=400, rate=5e-4, weight_decay=1e-3, schedule=Schedule.COSINE)
    second = Finetune(
        LoopOptions(output / "decoder", steps=400, rate=1e-4),
        TrainedPart.DECODER,
        batch=8,
        prompts=PromptPolicy.BOX,
        losses=((MaskLoss.DICE, 1.0),),
        held_out=0.2,  # the subjects the first stage holds out too
        probe=False,
    )
    losses = ((FeatureLoss.MSE, 1.0), (FeatureLoss.PERCEPTUAL, PERCEPTUAL))
    return Distillation(first, losses, batch=4, flips=True, decoder=second)
