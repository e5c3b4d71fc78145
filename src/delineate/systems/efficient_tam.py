"""EfficientTAM (Xiong et al., arXiv 2411.18933): SAM 2 with a plain ViT and cheaper attention to memories.

Three attentions: full; variant 1 raises the scores of averaged places; variant 2 raises the averaged keys.
"""

from __future__ import annotations

from delineate.preprocess.profiles import sam2_video
from delineate.systems.sam2_shaped import PROMPTS, REMEMBERS, Sam2Shaped
from delineate.systems.system import System

LICENCE = "Apache-2.0"
VARIANTS = {"": ("full", 1024), "_1": ("1", 1024), "_2": ("2", 1024), "_512": ("full", 512)}


def _system(size: str, suffix: str) -> System:
    attention, side = VARIANTS[suffix]
    parts = Sam2Shaped(
        f"efficient_tam_{size}{suffix}", LICENCE, "efficient_tam", size, "2.0", side, attention=attention
    )
    words = {"full": "", "1": ", averaged memories (variant 1)", "2": ", averaged memories (variant 2)"}[attention]
    return System(
        name=parts.name,
        summary=f"EfficientTAM with ViT-{size.capitalize()} at {side} px{words}",
        build=parts.build,
        prompts=PROMPTS,
        follows=REMEMBERS,
        profile=sam2_video(side).summary,
        recipe="as SAM 2, from a masked-image pre-trained ViT",
        citation="Xiong, Zhou, Li et al. Efficient Track Anything. arXiv 2411.18933",
        licence=LICENCE,
        reported="more than 10 frames/s on an iPhone 15 (README)",
        parity="against the authors' code, tiny network, nine frames: map 6e-6, click 4e-6, box 6e-5 (tests/models)",
    )


SYSTEMS = tuple(_system(size, suffix) for size in ("ti", "s") for suffix in VARIANTS)
