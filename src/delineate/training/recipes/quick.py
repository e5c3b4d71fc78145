"""The decoder alone on kept embeddings: minutes on a laptop, for a handful of labeled images."""

from __future__ import annotations

from pathlib import Path

from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.loop import LoopOptions
from delineate.training.recipes.recipe import finetuning


def options(output: Path) -> Finetune:
    """MedSAM's boxes and losses, for the mask decoder."""
    return Finetune(LoopOptions(output, steps=400, rate=1e-4), TrainedPart.DECODER, batch=8)


RECIPE = finetuning(
    "quick",
    "any SAM-shaped system",
    "decoder alone on kept embeddings; boxes moved outwards; Dice and cross entropy",
    "arXiv 2304.12306 for boxes and losses",
    options,
)
