"""SAM 2 and 2.1 (Ravi et al., arXiv 2408.00714): Segment Anything in images and videos.

Hiera embeds a frame; four layers of attention compare it with the memories of frames pointed at and of the last six;
SAM's decoder outlines every object and says whether it is there; the outline is remembered.
"""

from __future__ import annotations

from delineate.checkpoints.store import Download
from delineate.preprocess.profiles import sam2_video
from delineate.systems.sam2_shaped import PROMPTS, REMEMBERS, Sam2Shaped
from delineate.systems.system import System

LICENCE = "Apache-2.0"
FILES = "https://dl.fbaipublicfiles.com/segment_anything_2"
CITATION = "Ravi, Gabeur, Hu et al. SAM 2: Segment Anything in Images and Videos. arXiv 2408.00714"
PARITY = (
    "authors' video predictor, tiny network, ten frames: clicks, mask prompt, both directions, corrections 1.5e-6; box "
    "and two objects 2.6e-4 (another order of tokens); tests/memory"
)
# frames a second on an A100 (compiled) and J&F on SA-V test, MOSE val, LVOS v2 (README)
REPORTED = {
    "2.1": {"tiny": (91.2, 76.5, 71.8, 77.3), "small": (84.8, 76.6, 73.5, 78.3),
            "base_plus": (64.1, 78.2, 73.7, 78.2), "large": (39.5, 79.5, 74.6, 80.6)},
    "2.0": {"tiny": (91.5, 75.0, 70.9, 75.3), "small": (85.6, 74.9, 71.5, 76.4),
            "base_plus": (64.8, 74.7, 72.8, 75.8), "large": (39.7, 76.0, 74.6, 79.8)},
}  # fmt: skip

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


def _system(version: str, size: str) -> System:
    parts = Sam2Shaped(f"sam2.1_{size}" if version == "2.1" else f"sam2_{size}", LICENCE, size=size, version=version)
    date, stem = ("092824", "sam2.1") if version == "2.1" else ("072824", "sam2")
    speed, sav, mose, lvos = REPORTED[version][size]
    return System(
        name=parts.name,
        summary=f"SAM {version} {size.replace('_', ' ')} at 1024 px, images and videos",
        build=parts.build,
        prompts=PROMPTS,
        follows=REMEMBERS,
        profile=sam2_video(1024).summary,
        recipe="SA-1B, then SA-V and others, sequences of eight frames; 20 focal + Dice + IoU + presence",
        citation=CITATION,
        licence=LICENCE,
        reported=f"J&F: SA-V test {sav}, MOSE {mose}, LVOS v2 {lvos}; {speed} frames/s on an A100, compiled (README)",
        parity=PARITY,
        download=Download(f"{FILES}/{date}/{stem}_hiera_{size}.pt", SHA256[version, size]),
    )


SYSTEMS = tuple(_system(version, size) for version in REPORTED for size in REPORTED[version])
