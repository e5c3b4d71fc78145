"""BioSAM 2 (Yan et al., arXiv 2408.03286): SAM 2 small fine-tuned on biomedical images, no mean and deviation.

While it was trained on single images it remembered other images (``memory.policies.CrossImageBank``); videos and
volumes are followed as SAM 2 does.
"""

from __future__ import annotations

from delineate.models.variants import Sam2Size, Sam2Version
from delineate.predictors.capabilities import Propagation
from delineate.preprocess.profiles import biosam2
from delineate.systems.sam2 import hiera_layout
from delineate.systems.sam2_shaped import PROMPTS, WINDOW_OF_SIX, Sam2Shaped
from delineate.systems.system import System

RELEASED = "released"
PARTS = Sam2Shaped(
    "biosam2",
    "unstated by the authors",
    size=Sam2Size.SMALL,
    version=Sam2Version.V2_0,
    image_profile=biosam2,
    video_profile=biosam2,
    series=RELEASED,
)
SYSTEMS = (
    System(
        name=PARTS.name,
        summary="SAM 2.0 small at 1024 px fine-tuned on biomedical images and volumes",
        build=PARTS.build,
        prompts=PROMPTS,
        propagation=Propagation.MEMORY,
        propagation_note=WINDOW_OF_SIX,
        profile=biosam2(1024).summary,
        training="paper: encoder and decoder; released code: memory attention and decoder; Adam 1e-4; Dice and cross "
        "entropy; a bank of 16 memories of other images",
        citation="Yan, Sun, Zhou et al. Biomedical SAM 2: Segment Anything in Biomedical Images and Videos. "
        "arXiv 2408.03286",
        license=PARTS.license,
        recipe="biosam2",
        layout=hiera_layout(Sam2Size.SMALL, Sam2Version.V2_0, "biosam"),
        parity="SAM 2's network and tracker; the bank of images against the released steps (tests/predictors)",
        variants={
            RELEASED: "images prompted one by one are compared with a bank of those before, as the released script does"
        },
    ),
)
