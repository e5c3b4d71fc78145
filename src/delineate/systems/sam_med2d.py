"""SAM-Med2D (Cheng et al., arXiv 2308.16184): SAM ViT-B at 256 px with an adapter in every block.

Trained on 4.6 M images with rounds of corrections; the last answer goes back as a probability, not as logits; of three
outlines the one with the greatest predicted IoU counts. FT-SAM is the same without adapters.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from delineate.predictors.capabilities import Propagation
from delineate.predictors.sam_behavior import MaskPrompt, Multimask
from delineate.preprocess.profiles import SAM_MED2D, SAM_MED2D_SCRIPTS
from delineate.systems.sam import VIT_WIDTHS, vit_layout
from delineate.systems.sam_shaped import PROMPTS, SamShaped
from delineate.systems.system import System

SCRIPTS = "scripts"


def _adapt(host: Any) -> None:
    from delineate.adapters.sam_med2d import add_med2d_adapters

    add_med2d_adapters(host.vision_encoder)


PARTS = SamShaped(
    "sam_med2d",
    "Apache-2.0",
    SAM_MED2D,
    multimask=Multimask.ALWAYS,
    adapt=_adapt,
    feedback=MaskPrompt.PROBABILITY,
    variants={SCRIPTS: SAM_MED2D_SCRIPTS},
)
PLAIN = replace(PARTS, name="ft_sam", adapt=None)
_SAM_MED2D = System(
    name=PARTS.name,
    summary="SAM ViT-B at 256 px with adapters, for boxes, points and corrections on medical images",
    build=PARTS.build,
    prompts=PROMPTS,
    propagation=Propagation.CHAIN,
    propagation_note=PARTS.propagation_note,
    profile=SAM_MED2D.summary,
    training="alternating: adapters, prompt encoder and decoder on the first prompt, then eight rounds of corrections "
    "for the decoder alone; 20 focal + Dice + IoU error; Adam 1e-4; 15 epochs of SA-Med2D-20M",
    citation="Cheng, Ye, Deng et al. SAM-Med2D. arXiv 2308.16184",
    license=PARTS.license,
    reported="mean Dice, 256 px: box 79.30, 1 point 70.01, 3 points 76.35, 5 points 78.68 (README, main table)",
    parity="against the authors' code, tiny network: encoder with adapters 7e-6, six kinds of prompts 1.1e-4 "
    "(tests/models)",
    recipe="sam_med2d",
    layout=replace(
        vit_layout(VIT_WIDTHS["b"], SAM_MED2D.side, "sam-med2d"), holds=("mask_decoder.", ".Adapter."), lacks=()
    ),
    variants={
        SCRIPTS: "as the training and test scripts, not the predictor: pictures under 256 px are padded, not enlarged, "
        "and colors read as blue, green, red"
    },
)
SYSTEMS = (
    _SAM_MED2D,
    replace(
        _SAM_MED2D,
        name=PLAIN.name,
        summary="SAM ViT-B at 256 px fine-tuned as SAM-Med2D, without adapters",
        build=PLAIN.build,
        layout=vit_layout(VIT_WIDTHS["b"], SAM_MED2D.side, "ft-sam"),
        reported="mean Dice, 256 px: box 73.56, 1 point 60.11, 3 points 70.95, 5 points 75.51 (README, main table)",
    ),
)
