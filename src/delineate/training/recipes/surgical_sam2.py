"""Surgical SAM 2 on EndoVis (Liu et al., arXiv 2408.07931; sam2.1_hiera_s_endovis18_instrument of its repository).

Published: SAM 2.1 small at 512 px, batch 4, eight frames, up to three instruments, 5e-5 for all parts, 30 epochs; one
frame is prompted, and only that one corrected. Memory is not pruned while training: efficient frame pruning is a
matter of use, so what is measured on held-out videos is measured with it (the system's own policy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from delineate.data.cases import Case
from delineate.memory.policies import FrameWindow
from delineate.training.layer_rates import LayerRates
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.recipes import sam2
from delineate.training.recipes.sequence_recipe import sequence_recipe
from delineate.training.sam2_objective import Sam2Finetune, Sam2Objective, sam2_objective
from delineate.training.sequence_prompts import SequencePrompting


def options(output: Path) -> Sam2Finetune:
    """SAM 2's figures with those above. Weight decay, clipping and layer decay are SAM 2's."""
    return replace(
        sam2.options(output),
        loop=LoopOptions(output, steps=300, rate=5e-5, weight_decay=0.1, schedule=Schedule.COSINE, clip=0.1),
        rates=LayerRates(rate=5e-5, encoder=5e-5, decay=0.9, weight_decay=0.1),
        prompting=SequencePrompting(most_starts=1, corrected=1),
        policy=FrameWindow(),
        batch=4,
        measured=16,
    )


def objective(predictor: Any, cases: Sequence[Case], recipe: Sam2Finetune) -> Sam2Objective:
    """What is trained, for the loop."""
    return sam2_objective(predictor, cases, recipe)


RECIPE = sequence_recipe(
    "surgical_sam2",
    "surgical_sam2",
    "everything at one rate, on clips of eight frames at 512 px; memory is pruned in use, not in training",
    "arXiv 2408.07931; sam2.1_hiera_s_endovis18_instrument",
    options,
    objective,
)
