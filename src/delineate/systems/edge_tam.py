"""EdgeTAM (Zhou et al., CVPR 2025, arXiv 2501.07256): SAM 2 with RepViT and memories of 512 tokens."""

from __future__ import annotations

from delineate.checkpoints.download import Download
from delineate.models.variants import Sam2Family, Sam2Version
from delineate.predictors.capabilities import Propagation
from delineate.preprocess.profiles import sam2_video
from delineate.systems.layout import CheckpointLayout
from delineate.systems.sam2_shaped import PROMPTS, Sam2Shaped
from delineate.systems.system import System

PARTS = Sam2Shaped("edge_tam", "Apache-2.0", Sam2Family.EDGE_TAM, version=Sam2Version.V2_0)
SYSTEMS = (
    System(
        name=PARTS.name,
        summary="SAM 2 for phones: RepViT-M1, two layers of memory attention, memories of 512 tokens",
        build=PARTS.build,
        prompts=PROMPTS,
        propagation=Propagation.MEMORY,
        propagation_note="as SAM 2, each memory squeezed into 512 tokens by a spatial perceiver",
        profile=sam2_video(1024).summary,
        training="distilled from SAM 2 (embeddings and memory attention) beside SAM 2's own losses",
        citation="Zhou, Zhu, Xiong et al. EdgeTAM: On-Device Track Anything Model. CVPR 2025. arXiv 2501.07256",
        license=PARTS.license,
        reported="J&F: SA-V test 71.7, MOSE 70.0, DAVIS17 87.7; 16 frames/s on an iPhone 15 Pro Max (README)",
        parity="against the authors' code, published size, eight frames at 256 and 512 px: encoder 0.0, videos 8e-7 "
        "(tests/models)",
        layout=CheckpointLayout("EdgeTAM", holds=("sam_mask_decoder.", "spatial_perceiver.")),
        download=Download("https://github.com/facebookresearch/EdgeTAM/raw/main/checkpoints/edgetam.pt"),
    ),
)
