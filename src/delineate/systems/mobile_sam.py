"""MobileSAM (Zhang et al., arXiv 2306.14289): SAM with its encoder distilled into TinyViT-5M.

Decoupled distillation: the student learns the ViT-H embedding by mean squared error, prompt encoder and decoder stay
SAM's.
"""

from __future__ import annotations

from delineate.checkpoints.download import Download
from delineate.models.variants import SamEncoder
from delineate.predictors.capabilities import Propagation
from delineate.preprocess.profiles import SAM
from delineate.systems.layout import CheckpointLayout
from delineate.systems.sam import INSERTED
from delineate.systems.sam_shaped import PROMPTS, SamShaped
from delineate.systems.system import System


def tiny_vit_layout(kernel: int, *file_names: str) -> CheckpointLayout:
    """The layout of a SAM with TinyViT, whose first convolution has a kernel of that size."""
    return CheckpointLayout(
        "SAM with TinyViT",
        {"image_encoder.patch_embed.seq.0.c.weight": (None, None, kernel, kernel)},
        holds=("mask_decoder.",),
        lacks=INSERTED,
        file_names=file_names,
    )


PARTS = SamShaped("mobile_sam", "Apache-2.0", SAM, SamEncoder.TINY_VIT)
SYSTEMS = (
    System(
        name=PARTS.name,
        summary="SAM with a TinyViT-5M encoder at 1024 px: the first click in a fraction of a second",
        build=PARTS.build,
        prompts=PROMPTS,
        propagation=Propagation.CHAIN,
        propagation_note=PARTS.propagation_note,
        profile=SAM.summary,
        training="TinyViT learns SAM ViT-H's embeddings (mean squared error) on 1 % of SA-1B; the decoder is SAM's",
        citation="Zhang, Han, Qiao et al. Faster Segment Anything: Towards Lightweight SAM for Mobile Applications. "
        "arXiv 2306.14289",
        license=PARTS.license,
        reported="mIoU against SAM ViT-H, two points 100 to 500 px apart: 0.71 to 0.74; encoder 8 ms, decoder 4 ms on "
        "one GPU (README)",
        parity="encoder against the authors' code, published size: 7e-6; heads are SAM's (tests/models)",
        recipe="mobile_sam",
        layout=tiny_vit_layout(3),
        download=Download(
            "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
            "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        ),
    ),
)
