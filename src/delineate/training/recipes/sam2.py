"""SAM 2's fine-tuning on videos (Ravi et al., arXiv 2408.00714; sam2.1_hiera_b+_MOSE_finetune of its repository).

Published: eight frames in a row and up to three objects a GPU, eight GPUs, 40 epochs; everything is trained with AdamW
5e-6 (3e-6 in the image encoder, 0.9 times less each block towards the input), weight decay 0.1 but not of biases and
norms, gradients clipped at 0.1, rates down to a tenth along a cosine. Half of the clips are given true masks, the
others clicks or boxes on one or two frames and seven corrections on up to two; one view and jitter a clip. The loop's
cosine goes down to a hundredth, and drop path (0.1) is left out: the host library's Hiera has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from delineate.data.cases import Case
from delineate.training.layer_rates import LayerRates
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.losses import DecodingLoss
from delineate.training.recipes.sequence_recipe import sequence_recipe
from delineate.training.sam2_objective import Sam2Finetune, Sam2Objective, sam2_objective
from delineate.training.sequence_prompts import SequencePrompting
from delineate.training.sequences import SequenceAugmentation, SequenceOptions


def options(output: Path) -> Sam2Finetune:
    """As published, but for the length and one GPU; slices and videos go backwards half of the time."""
    return Sam2Finetune(
        LoopOptions(output, steps=400, rate=5e-6, weight_decay=0.1, schedule=Schedule.COSINE, clip=0.1),
        rates=LayerRates(rate=5e-6, encoder=3e-6, decay=0.9, weight_decay=0.1),
        clips=SequenceOptions(frames=8, objects=3, reverse=0.5, augment=SequenceAugmentation()),
        prompting=SequencePrompting(pointed=0.5, box=0.5, most_starts=2, corrected=2, clicks=7, from_truth=0.1),
        loss=DecodingLoss.SAM2,
        batch=1,
    )


def objective(predictor: Any, cases: Sequence[Case], recipe: Sam2Finetune) -> Sam2Objective:
    """What is trained, for the loop."""
    return sam2_objective(predictor, cases, recipe)


RECIPE = sequence_recipe(
    "sam2",
    "sam2.1_tiny",
    "everything, on clips of eight frames with memory; masks, boxes, clicks and corrections; SAM 2's loss",
    "arXiv 2408.00714; sam2.1_hiera_b+_MOSE_finetune.yaml",
    options,
    objective,
)
