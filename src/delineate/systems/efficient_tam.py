"""EfficientTAM (Xiong et al., arXiv 2411.18933): SAM 2 with a plain ViT and cheaper attention to memories.

Three attentions: full; variant 1 raises the scores of averaged places; variant 2 raises the averaged keys.
"""

from __future__ import annotations

from delineate.models.variants import CrossAttention, Sam2Family, Sam2Version, TamSize
from delineate.predictors.capabilities import Propagation
from delineate.preprocess.profiles import sam2_video
from delineate.systems.layout import CheckpointLayout
from delineate.systems.sam2_shaped import PROMPTS, WINDOW_OF_SIX, Sam2Shaped
from delineate.systems.system import System

LICENSE = "Apache-2.0"
VARIANTS = {
    "": (CrossAttention.FULL, 1024),
    "_1": (CrossAttention.POOLED_1, 1024),
    "_2": (CrossAttention.POOLED_2, 1024),
    "_512": (CrossAttention.FULL, 512),
}
WIDTHS = {TamSize.TINY: 192, TamSize.SMALL: 384}


def _system(size: TamSize, suffix: str) -> System:
    attention, side = VARIANTS[suffix]
    parts = Sam2Shaped(
        f"efficient_tam_{size}{suffix}", LICENSE, Sam2Family.EFFICIENT_TAM, size, Sam2Version.V2_0, side,
        attention=attention,
    )  # fmt: skip
    words = "" if attention is CrossAttention.FULL else f", averaged memories (variant {attention})"
    return System(
        name=parts.name,
        summary=f"EfficientTAM with ViT-{size.capitalize()} at {side} px{words}",
        build=parts.build,
        prompts=PROMPTS,
        propagation=Propagation.MEMORY,
        propagation_note=WINDOW_OF_SIX,
        profile=sam2_video(side).summary,
        training="as SAM 2, from a masked-image pre-trained ViT",
        citation="Xiong, Zhou, Li et al. Efficient Track Anything. arXiv 2411.18933",
        license=LICENSE,
        reported="more than 10 frames/s on an iPhone 15 (README)",
        parity="against the authors' code, tiny network, nine frames: map 6e-6, click 4e-6, box 6e-5 (tests/models)",
        layout=CheckpointLayout(
            f"EfficientTAM with ViT-{size.capitalize()}",
            {"image_encoder.trunk.patch_embed.proj.weight": (WIDTHS[size], None, None, None)},
            holds=("sam_mask_decoder.", "image_encoder.trunk.blocks.0.attn.qkv."),
            lacks=("sam_mask_decoder.conv_s0.", "spatial_perceiver."),
            file_names=(f"efficienttam_{size}{suffix}",),
        ),
    )


SYSTEMS = tuple(_system(size, suffix) for size in TamSize for suffix in VARIANTS)
