"""BioSAM 2 (Yan et al., arXiv 2408.03286): SAM 2 small fine-tuned on biomedical images, no mean and deviation.

While it was trained on single images it remembered other images (``memory.policies.CrossImageBank``); videos and
volumes are followed as SAM 2 does.
"""

from __future__ import annotations

from delineate.preprocess.profiles import biosam2
from delineate.systems.sam2_shaped import PROMPTS, REMEMBERS, Sam2Shaped
from delineate.systems.system import System

PARTS = Sam2Shaped(
    "biosam2", "unstated by the authors", size="small", version="2.0", image_profile=biosam2, video_profile=biosam2
)
SYSTEMS = (
    System(
        name=PARTS.name,
        summary="SAM 2.0 small at 1024 px fine-tuned on biomedical images and volumes",
        build=PARTS.build,
        prompts=PROMPTS,
        follows=REMEMBERS,
        profile=biosam2(1024).summary,
        recipe="paper: encoder and decoder; released code: memory attention and decoder; Adam 1e-4; Dice and cross "
        "entropy; a bank of 16 memories of other images",
        citation="Yan, Sun, Zhou et al. Biomedical SAM 2: Segment Anything in Biomedical Images and Videos. "
        "arXiv 2408.03286",
        licence=PARTS.licence,
        reported="",
        parity="SAM 2's network and tracker; the bank's rule by its description",
    ),
)
