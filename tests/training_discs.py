"""Bright discs on noise with their labels, and a tiny SAM to train on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from delineate.compute.engine import Engine, Precision
from delineate.core.manifest import ModelRecord
from delineate.data.cases import Case
from delineate.data.layouts import read_dataset
from delineate.models.sam import Sam, SamEncoder, SamShape
from delineate.predictors.sam import SamPredictor
from delineate.predictors.sam_behavior import MaskPrompt, Multimask, SamBehavior
from delineate.preprocess.profiles import SAM_MED2D
from tiny_networks import TINY_VIT_SIZE, lively


def discs(root: Path, count: int, side: int = 256) -> list[Case]:
    """Cases in a folder of pictures and masks."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    y, x = np.mgrid[:side, :side]
    for n in range(count):
        cy, cx = rng.uniform(0.31 * side, 0.69 * side, 2)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < (side * rng.uniform(0.12, 0.23)) ** 2
        gray = (60 + 130 * disc + rng.normal(0, 10, disc.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(gray).save(root / "images" / f"case{n}.png")
        Image.fromarray(disc.astype(np.uint8)).save(root / "masks" / f"case{n}.png")
    return read_dataset(root)[1]


def tiny_predictor(
    encoder: SamEncoder = SamEncoder.VIT_B,
    multimask: Multimask = Multimask.AMBIGUOUS,
    alive: bool = False,
    side: int = 256,
) -> SamPredictor:
    """Fresh weights as the network is made, or random ones at which every part counts."""
    torch.manual_seed(0)
    network = Sam(SamShape(encoder, side, TINY_VIT_SIZE)).eval()
    if alive:
        lively(network)
    feedback = MaskPrompt.PROBABILITY if multimask is Multimask.ALWAYS else MaskPrompt.LOGITS
    behavior = SamBehavior(replace(SAM_MED2D, side=side), multimask, feedback)
    record = ModelRecord(name=str(encoder), version="0", sha256="", license="")
    return SamPredictor(network, behavior, Engine(torch.device("cpu"), Precision.FP32), record)
