"""MobileSAM's decoupled distillation (Zhang et al., arXiv 2306.14289 sec. 3.2).

The small encoder learns SAM ViT-H's embeddings by mean squared error on 1 % of SA-1B, batch 8, 8 epochs; prompt encoder
and decoder are SAM's, untouched. Training code was never published; re-implementations use AdamW 1e-3 with weight decay
5e-4, the rate falling over the run, which is what this does.
"""

from __future__ import annotations

from pathlib import Path

from delineate.training.distill import Distillation
from delineate.training.feature_losses import FeatureLoss
from delineate.training.loop import LoopOptions, Schedule


def distillation(output: Path) -> Distillation:
    """As published where it is known, but for the length."""
    loop = LoopOptions(output, steps=400, rate=1e-3, weight_decay=5e-4, schedule=Schedule.COSINE)
    return Distillation(loop, ((FeatureLoss.MSE, 1.0),), batch=8, flips=True)
