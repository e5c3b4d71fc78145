"""SAM 2 and 2.1 (Ravi et al., arXiv 2408.00714): Segment Anything in images and videos.

Hiera embeds a frame; four layers of attention compare it with the memories of prompted frames and of the last six;
SAM's decoder outlines every object and says whether it is there; the outline is remembered.
"""

from __future__ import annotations

from delineate.checkpoints.download import Download
from delineate.models.variants import Sam2Size, Sam2Version
from delineate.predictors.capabilities import Propagation
from delineate.preprocess.profiles import sam2_video
from delineate.systems.layout import CheckpointLayout
from delineate.systems.sam2_shaped import PROMPTS, WINDOW_OF_SIX, Sam2Shaped
from delineate.systems.system import System

LICENSE = "Apache-2.0"
TRUNK = "image_encoder.trunk"
FILES = "https://dl.fbaipublicfiles.com/segment_anything_2"
CITATION = "Ravi, Gabeur, Hu et al. SAM 2: Segment Anything in Images and Videos. arXiv 2408.00714"
PARITY = (
    "authors' video predictor, tiny network, ten frames: clicks, mask prompt, both directions, corrections 1.5e-6; box "
    "and two objects 2.6e-4 (another order of tokens); tests/memory"
)
# frames a second on an A100 (compiled) and J&F on SA-V test, MOSE val, LVOS v2 (README)
REPORTED = {
    (Sam2Version.V2_1, Sam2Size.TINY): (91.2, 76.5, 71.8, 77.3),
    (Sam2Version.V2_1, Sam2Size.SMALL): (84.8, 76.6, 73.5, 78.3),
    (Sam2Version.V2_1, Sam2Size.BASE_PLUS): (64.1, 78.2, 73.7, 78.2),
    (Sam2Version.V2_1, Sam2Size.LARGE): (39.5, 79.5, 74.6, 80.6),
    (Sam2Version.V2_0, Sam2Size.TINY): (91.5, 75.0, 70.9, 75.3),
    (Sam2Version.V2_0, Sam2Size.SMALL): (85.6, 74.9, 71.5, 76.4),
    (Sam2Version.V2_0, Sam2Size.BASE_PLUS): (64.8, 74.7, 72.8, 75.8),
    (Sam2Version.V2_0, Sam2Size.LARGE): (39.7, 76.0, 74.6, 79.8),
}

SHA256 = {
    ("2.0", "tiny"): "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
    ("2.0", "small"): "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
    ("2.0", "base_plus"): "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
    ("2.0", "large"): "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
    ("2.1", "tiny"): "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    ("2.1", "small"): "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
    ("2.1", "base_plus"): "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    ("2.1", "large"): "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
}


BLOCKS = {Sam2Size.TINY: (96, 12), Sam2Size.SMALL: (96, 16), Sam2Size.BASE_PLUS: (112, 24), Sam2Size.LARGE: (144, 48)}


def hiera_layout(size: Sam2Size, version: Sam2Version, *file_names: str) -> CheckpointLayout:
    """The layout of a SAM 2: width and blocks of its Hiera; 2.1 has an embedding for hidden objects."""
    width, blocks = BLOCKS[size]
    newer = ("no_obj_embed_spatial",)
    return CheckpointLayout(
        f"SAM {version} {size.replace('_', ' ')}",
        {f"{TRUNK}.patch_embed.proj.weight": (width, None, None, None)},
        holds=("sam_mask_decoder.conv_s0.", f"{TRUNK}.blocks.{blocks - 1}.", *(newer if version == "2.1" else ())),
        lacks=(f"{TRUNK}.blocks.{blocks}.", "spatial_perceiver.", *(() if version == "2.1" else newer)),
        file_names=file_names,
    )


def _system(version: Sam2Version, size: Sam2Size) -> System:
    parts = Sam2Shaped(f"sam2.1_{size}" if version == "2.1" else f"sam2_{size}", LICENSE, size=size, version=version)
    date, stem = ("092824", "sam2.1") if version == "2.1" else ("072824", "sam2")
    speed, sav, mose, lvos = REPORTED[version, size]
    return System(
        name=parts.name,
        summary=f"SAM {version} {size.replace('_', ' ')} at 1024 px, images and videos",
        build=parts.build,
        prompts=PROMPTS,
        propagation=Propagation.MEMORY,
        propagation_note=WINDOW_OF_SIX,
        profile=sam2_video(1024).summary,
        training="SA-1B, then SA-V and others, sequences of eight frames; 20 focal + Dice + IoU + presence",
        citation=CITATION,
        license=LICENSE,
        reported=f"J&F: SA-V test {sav}, MOSE {mose}, LVOS v2 {lvos}; {speed} frames/s on an A100, compiled (README)",
        parity=PARITY,
        recipe="sam2",
        layout=hiera_layout(size, version, f"{stem}_hiera"),
        download=Download(f"{FILES}/{date}/{stem}_hiera_{size}.pt", SHA256[version, size]),
    )


SYSTEMS = tuple(_system(version, size) for version, size in REPORTED)
