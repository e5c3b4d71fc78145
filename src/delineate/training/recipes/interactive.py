"""All that a person may do: boxes of any care, clicks, scribbles, outlines that are nearly right, and corrections.

For systems that were trained with exact boxes alone. Rounds of corrections as in SAM (arXiv 2304.02643 appendix A),
clicks as in arXiv 2102.06583. The decoder is frozen beside low-rank matrices (arXiv 2106.09685), half of the truth is
what the network said itself of an exact box (learning without forgetting, arXiv 1606.09282): answers to boxes stay.
"""

from __future__ import annotations

from pathlib import Path

from delineate.training.encoder_adapters import AdapterOptions
from delineate.training.finetune import Finetune, TrainedPart
from delineate.training.loop import LoopOptions, Schedule
from delineate.training.losses import LITE_MEDSAM_LOSSES
from delineate.training.prompt_policies import PromptPolicy
from delineate.training.recipes.recipe import finetuning


def options(output: Path) -> Finetune:
    """Adapters in the decoder and all of the prompt encoder, on kept embeddings, a quarter of the cells a step."""
    return Finetune(
        LoopOptions(output, steps=600, rate=2e-3, warmup=10, schedule=Schedule.COSINE, ema=0.97),
        TrainedPart.DECODER,
        batch=3,
        prompts=PromptPolicy.INTERACTIVE,
        losses=LITE_MEDSAM_LOSSES,
        adapter=AdapterOptions(rank=16, alpha=16.0),
        prompts_learn=True,
        stride=2,
        self_labeled=0.5,
    )


RECIPE = finetuning(
    "interactive",
    "any SAM-shaped system",
    "adapters in the decoder, and the prompt encoder; sloppy boxes, clicks, scribbles, outlines, two corrections",
    "arXiv 2304.02643 appendix A for corrections",
    options,
)
