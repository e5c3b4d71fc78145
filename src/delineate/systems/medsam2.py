"""MedSAM2: SAM 2 fine-tuned for medicine, in two published forms.

The 2024 benchmark (Ma et al., arXiv 2408.03322) fine-tuned SAM 2.0 tiny at 1024 px on single slices, prompted with the
box of the middle slice, followed both ways; the 2025 follow-up (arXiv 2504.03600) is SAM 2.1 tiny at 512 px.
"""

from __future__ import annotations

from dataclasses import replace

from delineate.models.variants import Sam2Size, Sam2Version
from delineate.predictors.capabilities import Propagation
from delineate.preprocess.profiles import medsam2_benchmark_image, medsam2_image, medsam2_video, sam2_video
from delineate.systems.sam2 import hiera_layout
from delineate.systems.sam2_shaped import PROMPTS, WINDOW_OF_SIX, Sam2Shaped
from delineate.systems.system import System

PARTS = Sam2Shaped(
    "medsam2",
    "see the authors' page (research use)",
    side=512,
    resets=True,
    image_profile=medsam2_image,
    video_profile=medsam2_video,
)
BENCHMARK = Sam2Shaped(
    "medsam2_benchmark",
    "Apache-2.0",
    version=Sam2Version.V2_0,
    resets=True,
    image_profile=medsam2_benchmark_image,
)
_FOLLOW_UP = System(
    name=PARTS.name,
    summary="SAM 2.1 tiny at 512 px fine-tuned on 455 k volumes and 76 k frames",
    build=PARTS.build,
    prompts=PROMPTS,
    propagation=Propagation.MEMORY,
    propagation_note=WINDOW_OF_SIX,
    profile=medsam2_video(512).summary,
    training="eight slices, up to five objects, boxes half of the time and masks otherwise; AdamW 5e-5 (3e-5 for the "
    "encoder), 75 epochs; SAM 2's loss",
    citation="Ma, Yang, Kim et al. MedSAM2: Segment Anything in 3D Medical Images and Videos. arXiv 2504.03600",
    license=PARTS.license,
    reported="annotation cost reduced by more than 85 % in three user studies (abstract)",
    parity="SAM 2's network and tracker",
    recipe="medsam2",
    layout=hiera_layout(Sam2Size.TINY, Sam2Version.V2_1, "medsam2"),
)
SYSTEMS = (
    _FOLLOW_UP,
    replace(
        _FOLLOW_UP,
        name=BENCHMARK.name,
        summary="SAM 2.0 tiny at 1024 px fine-tuned on abdominal CT (the 2024 benchmark's transfer learning)",
        build=BENCHMARK.build,
        profile=sam2_video(1024).summary,
        training="encoder and decoder on single slices, prompt encoder frozen, memory untouched; Dice and cross "
        "entropy; AdamW 6e-5; boxes moved by up to 5 px at 256",
        citation="Ma, Kim, Li et al. Segment Anything in Medical Images and Videos: Benchmark and Deployment. "
        "arXiv 2408.03322",
        license=BENCHMARK.license,
        recipe="medsam2_benchmark",
        layout=hiera_layout(Sam2Size.TINY, Sam2Version.V2_0, "medsam2"),
        reported="SAM 2 tiny, not fine-tuned, endoscopy video (SUN-SEG): Dice 0.8263 (table 4)",
    ),
)
