"""SAM: Segment Anything (Kirillov et al., ICCV 2023, arXiv 2304.02643).

A ViT embeds the image once; points, boxes and the last answer become tokens; a two-way decoder gives three outlines
for an ambiguous click, one otherwise, and predicts how good each is.
"""

from __future__ import annotations

from delineate.checkpoints.download import Download
from delineate.models.variants import SamEncoder
from delineate.predictors.capabilities import Propagation
from delineate.preprocess.profiles import SAM
from delineate.systems.layout import CheckpointLayout
from delineate.systems.sam_shaped import PROMPTS, SamShaped
from delineate.systems.system import System

LICENSE = "Apache-2.0"
FILES = "https://dl.fbaipublicfiles.com/segment_anything"
CITATION = "Kirillov, Mintun, Ravi, Mao et al. Segment Anything. ICCV 2023. arXiv 2304.02643"
TRAINING = (
    "trained by its authors on SA-1B (11 M images, 1.1 G masks): focal and Dice loss 20:1 and the error of the "
    "predicted IoU, eleven rounds of prompts a mask; no training code was released"
)


# in names of what papers put into SAM
INSERTED = ("Space_Adapter.", ".prompt_generator.", "temporal_attn.", "w_a_000", "q_FacTs_000", "med_token")
VIT_WIDTHS = {"b": 768, "l": 1024, "h": 1280}


def vit_layout(width: int, side: int, *file_names: str) -> CheckpointLayout:
    """The layout of a SAM with a plain ViT of some width for pictures of ``side`` pixels."""
    return CheckpointLayout(
        f"SAM with a ViT of width {width} at {side} px",
        {"image_encoder.pos_embed": (1, side // 16, side // 16, width)},
        holds=("mask_decoder.",),
        lacks=(".Adapter.", "prompt_encoder.text_encoder.", *INSERTED),
        file_names=file_names,
    )


def _system(size: str, file: str, sha256: str) -> System:
    parts = SamShaped(f"sam_vit_{size}", LICENSE, SAM, SamEncoder(f"vit_{size}"))
    return System(
        name=parts.name,
        summary=f"Segment Anything, ViT-{size.upper()} at 1024 px",
        build=parts.build,
        prompts=PROMPTS,
        propagation=Propagation.CHAIN,
        propagation_note=parts.propagation_note,
        profile=SAM.summary,
        training=TRAINING,
        citation=CITATION,
        license=LICENSE,
        reported="mean Dice on 0.6 M medical masks with a box, 1024 px: 74.49 (as measured by SAM-Med2D, its README)"
        if size == "b"
        else "",
        parity="against the host library, live: embedding 1e-5, heads 1e-3 of the largest logit (tests/models); the "
        "host equals the authors' code to 1.4e-6",
        recipe="sam_iterative",
        layout=vit_layout(VIT_WIDTHS[size], SAM.side, f"sam_vit_{size}"),
        download=Download(f"{FILES}/{file}", sha256),
    )


SHA256 = {  # what ends the authors' file names is the beginning of another hash (MD5)
    "sam_vit_b_01ec64.pth": "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    "sam_vit_l_0b3195.pth": "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    "sam_vit_h_4b8939.pth": "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
}
SYSTEMS = tuple(_system(size, file, sha256) for size, (file, sha256) in zip("blh", SHA256.items(), strict=True))
