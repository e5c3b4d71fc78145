"""MedSAM2's two trainings.

The 2024 benchmark (Ma et al., arXiv 2408.03322; finetune_sam2_img.py): image encoder and mask decoder of SAM 2 tiny on
single slices, one structure and its box a slice, prompt encoder frozen, memory untouched; boxes moved outwards by up
to 5 px at 256; Dice and cross entropy 1:1 of the logits at 256 px; AdamW 6e-5, weight decay 0.01, constant, batch 16.

The 2025 follow-up (arXiv 2504.03600): SAM 2.1 tiny at 512 px on eight slices, up to five objects; half of the clips are
given true masks, the others boxes (no clicks) on one or two frames; 5e-5, encoder 3e-5, batch 8, SAM 2's loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from delineate.data.cases import Case
from delineate.training.layer_rates import LayerRates, Sam2Part
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.losses import DecodingLoss
from delineate.training.recipes import sam2
from delineate.training.recipes.sequence_recipe import sequence_recipe
from delineate.training.sam2_objective import Compared, Sam2Finetune, Sam2Objective, sam2_objective
from delineate.training.sequence_prompts import BoxKind, SequencePrompting
from delineate.training.sequences import SequenceAugmentation, SequenceOptions


def options(output: Path) -> Sam2Finetune:
    """The benchmark's figures, but for the length (1000 epochs published) and a batch that fits smaller cards."""
    return Sam2Finetune(
        LoopOptions(output, steps=400, rate=6e-5, weight_decay=0.01),
        parts=(Sam2Part.ENCODER, Sam2Part.DECODER),
        rates=LayerRates(rate=6e-5, encoder=6e-5, weight_decay=0.01),
        clips=SequenceOptions(frames=1, objects=1),
        prompting=SequencePrompting(pointed=1.0, box=1.0, boxes=BoxKind.OUTWARD, most_starts=1, corrected=0),
        loss=DecodingLoss.DICE_AND_CROSS_ENTROPY,
        compared=Compared.LOGITS,
        batch=4,
    )


def follow_up_options(output: Path) -> Sam2Finetune:
    """The follow-up's figures, but for the length (75 epochs published) and the batch."""
    return replace(
        sam2.options(output),
        loop=LoopOptions(output, steps=400, rate=5e-5, weight_decay=0.1, schedule=Schedule.COSINE, clip=0.1),
        rates=LayerRates(rate=5e-5, encoder=3e-5, decay=0.9, weight_decay=0.1),
        clips=SequenceOptions(frames=8, objects=5, augment=SequenceAugmentation()),
        prompting=SequencePrompting(pointed=0.5, box=1.0, most_starts=2, corrected=2),
    )


def objective(predictor: Any, cases: Sequence[Case], recipe: Sam2Finetune) -> Sam2Objective:
    """What is trained, for the loop."""
    return sam2_objective(predictor, cases, recipe)


RECIPE = sequence_recipe(
    "medsam2_benchmark",
    "medsam2_benchmark",
    "image encoder and decoder on single slices with boxes; Dice and cross entropy; prompt encoder and memory frozen",
    "arXiv 2408.03322; finetune_sam2_img.py",
    options,
    objective,
)
FOLLOW_UP = sequence_recipe(
    "medsam2",
    "medsam2",
    "everything, on clips of eight slices at 512 px with up to five objects; masks or boxes; SAM 2's loss",
    "arXiv 2504.03600",
    follow_up_options,
    objective,
)
