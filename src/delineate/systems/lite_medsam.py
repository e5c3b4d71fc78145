"""LiteMedSAM (branch of the MedSAM repository; baseline of the CVPR 2024 "MedSAM on Laptop" challenge).

TinyViT with a pixel-wise stem on 256 px, first distilled from MedSAM's embeddings, then trained with its decoder.
"""

from __future__ import annotations

from delineate.preprocess.profiles import LITE_MEDSAM
from delineate.systems.sam_shaped import SamShaped
from delineate.systems.system import System

PARTS = SamShaped("lite_medsam", "Apache-2.0", LITE_MEDSAM, "tiny_vit_lite", multimask="never", margin=3.0, whole=True)
SYSTEMS = (
    System(
        name=PARTS.name,
        summary="MedSAM shrunk to a TinyViT at 256 px, prompted with a box; fast on a laptop",
        build=PARTS.build,
        prompts=("box",),
        follows=PARTS.follows,
        profile=LITE_MEDSAM.summary,
        recipe="stage 1: embeddings of MedSAM ViT-B (mean squared error, AdamW 5e-4); stage 2: all of it, Dice, cross "
        "entropy and IoU error 1:1:1, AdamW 5e-5, boxes moved by up to 5 px at 256",
        citation="Ma, He, Li, Han, You, Wang. Segment anything in medical images. Nature Communications 15, 654 "
        "(2024); branch LiteMedSAM",
        licence=PARTS.licence,
        reported="about ten times as fast as MedSAM (README)",
        parity="encoder against the authors' code, published size: 8e-6; heads are SAM's (tests/models)",
    ),
)
