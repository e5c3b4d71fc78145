"""Surgical SAM 2 (Liu et al., arXiv 2408.07931): SAM 2 small at 512 px that prunes its memory.

Efficient frame pruning leaves out the memories most similar to the newest one, so that attention has fewer tokens and
more variety to look at. Two rules were released; both are here.
"""

from __future__ import annotations

from dataclasses import replace

from delineate.models.variants import Pruning, Sam2Size, Sam2Version
from delineate.predictors.capabilities import Propagation
from delineate.preprocess.profiles import sam2_video
from delineate.systems.sam2 import hiera_layout
from delineate.systems.sam2_shaped import PROMPTS, Sam2Shaped
from delineate.systems.system import System

FILE_NAMES = ("endo", "hiera_s_endo18")
PARTS = Sam2Shaped("surgical_sam2", "Apache-2.0", size=Sam2Size.SMALL, side=512, pruning=Pruning.V2)
FIRST = replace(PARTS, name="surgical_sam2_v1", version=Sam2Version.V2_0, pruning=Pruning.V1)
_SURGICAL = System(
    name=PARTS.name,
    summary="SAM 2.1 small at 512 px with efficient frame pruning, for surgical video",
    build=PARTS.build,
    prompts=PROMPTS,
    propagation=Propagation.MEMORY,
    propagation_note="at most five of the last seven memories, those most similar to the newest one left out (v2)",
    profile=sam2_video(512).summary,
    training="EndoVis 2018 instruments, eight frames of 512 px, AdamW 5e-5, 30 epochs; no pruning in training",
    citation="Liu, Zhang, Wu et al. Surgical SAM 2: Real-time Segment Anything in Surgical Video by Efficient Frame "
    "Pruning. arXiv 2408.07931",
    license=PARTS.license,
    reported="86 frames/s, three times SAM 2's (README)",
    parity="against the authors' code, tiny network, 14 frames: v1 1.4e-6; v2 1.1e-6, box 2.6e-4 (tests/memory, "
    "tests/models)",
    recipe="surgical_sam2",
    layout=hiera_layout(Sam2Size.SMALL, Sam2Version.V2_1, *FILE_NAMES),
)
SYSTEMS = (
    _SURGICAL,
    replace(
        _SURGICAL,
        name=FIRST.name,
        summary="SAM 2.0 small at 512 px with the first rule of efficient frame pruning (2024)",
        build=FIRST.build,
        layout=hiera_layout(Sam2Size.SMALL, Sam2Version.V2_0, *FILE_NAMES),
        propagation_note="of seven memories the two most similar to the newest one are left out (v1)",
    ),
)
