"""MedSAM (Ma et al., Nature Communications 2024, arXiv 2304.12306): SAM ViT-B for boxes on medical images.

All of encoder and decoder were fine-tuned; the box prompts one outline; images are squared and scaled to [0, 1], and
the sigmoid is taken before the answer is enlarged. The point extension is the same network, asked with one point.
"""

from __future__ import annotations

from dataclasses import replace

from delineate.predictors.capabilities import PromptKind, Propagation
from delineate.predictors.sam_behavior import Multimask
from delineate.preprocess.profiles import MEDSAM
from delineate.systems.sam import VIT_WIDTHS, vit_layout
from delineate.systems.sam_shaped import SamShaped
from delineate.systems.system import System

PARTS = SamShaped("medsam", "Apache-2.0", MEDSAM, multimask=Multimask.NEVER)
_MEDSAM = System(
    name=PARTS.name,
    summary="SAM ViT-B fine-tuned on 1.5 M medical masks, prompted with a box",
    build=PARTS.build,
    prompts=frozenset({PromptKind.BOX}),
    propagation=Propagation.CHAIN,
    propagation_note=PARTS.propagation_note,
    profile=MEDSAM.summary,
    training="encoder and decoder trained, prompt encoder frozen; Dice and cross entropy 1:1; AdamW 1e-4; boxes grown "
    "by up to 20 px at 1024",
    citation="Ma, He, Li, Han, You, Wang. Segment anything in medical images. Nature Communications 15, 654 (2024). "
    "arXiv 2304.12306",
    license=PARTS.license,
    reported="mean Dice above SAM's by 22.5 points on 21 3D tasks and 17.6 on 9 2D tasks (first preprint, abstract)",
    parity="SAM's network; pre- and post-processing pinned against the libraries the authors call",
    recipe="medsam",
    layout=vit_layout(VIT_WIDTHS["b"], MEDSAM.side, "medsam", "medsam_vit_b"),
)
POINT = replace(PARTS, name="medsam_point")
SYSTEMS = (
    _MEDSAM,
    replace(
        _MEDSAM,
        name=POINT.name,
        summary="MedSAM's point-prompt extension: one point on the structure (experimental, say its authors)",
        build=POINT.build,
        prompts=frozenset({PromptKind.POINT}),
        training="from MedSAM: decoder trained alone; Dice and cross entropy; AdamW 5e-5; one random point a mask",
        reported="",
        recipe="medsam_point",
        layout=vit_layout(VIT_WIDTHS["b"], MEDSAM.side, "medsam_point"),
    ),
)
