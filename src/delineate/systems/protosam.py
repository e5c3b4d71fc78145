"""ProtoSAM (Ayzenberg et al., arXiv 2407.07042): one example is enough, and nothing is trained.

DINOv2's features of the support give local prototypes; the coarse mask they predict on the query is split into
components; each becomes a box, its most probable pixel and its centroid, which prompt SAM (MedSAM: the box alone);
their masks are joined.

The paper keeps the most confident component and asks for one mask. The released script asks SAM for three masks of
every component and takes the first (``released``), whatever its predicted IoU (``best_iou`` takes the best).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from delineate.fewshot.coarse_to_prompts import KeptComponents, MaskSelection, PromptOptions
from delineate.models.variants import SamEncoder
from delineate.predictors.capabilities import PromptKind, Propagation
from delineate.predictors.sam_behavior import Multimask
from delineate.preprocess.profiles import SAM
from delineate.systems import lite_medsam, medsam
from delineate.systems.alpnet import PARITY, SWITCHES, SWITCHES_SAY
from delineate.systems.one_shot import MaskResize, OneShotOptions
from delineate.systems.one_shot_shaped import OneShotShaped
from delineate.systems.sam import LICENSE
from delineate.systems.sam_shaped import PROMPTS, SamShaped
from delineate.systems.system import System

PAPER = OneShotOptions(prompts=PromptOptions(KeptComponents.MOST_CONFIDENT))
BOX_ONLY = OneShotOptions(prompts=PromptOptions(KeptComponents.MOST_CONFIDENT, points=None))
REPORTED = (
    "Dice, as quoted by others: Kvasir 81.5, CVC-ClinicDB 76.8, CVC-ColonDB 63.5; abdominal MRI left kidney 82.8, CT "
    "left kidney 71.3"
)
_SAY = {
    "released": "every component is kept, SAM is asked for three masks of each, and the first is taken: the script",
    "best_iou": "the same, and of the three masks the one with the greatest predicted IoU is taken",
}


def _parts(name: str, refiner: SamShaped, options: OneShotOptions) -> OneShotShaped:
    every = replace(options.prompts, components=KeptComponents.ALL)
    several = replace(refiner, multimask=Multimask.ALWAYS) if options is PAPER else refiner  # MedSAM gives one mask
    variants: Mapping[str, Mapping[str, Any]] = {
        **({} if options.mask_resize is MaskResize.AREA else SWITCHES),
        "released": {"refiner": several, "options": replace(options, prompts=every)},
        "best_iou": {
            "refiner": several,
            "options": replace(options, prompts=every, selection=MaskSelection.BEST_IOU),
        },
    }
    return OneShotShaped(name, "Apache-2.0 (DINOv2, SAM)", 672, refiner=refiner, options=options, variants=variants)


def _row(parts: OneShotShaped, by: str) -> System:
    assert parts.refiner is not None
    features = by if parts.own_features else "DINOv2"
    return System(
        name=parts.name,
        summary=f"One example is enough: prototypes of {features}'s features find the structure, {by} outlines it",
        build=parts.build,
        prompts=frozenset({PromptKind.BOX}) if "MedSAM" in by else PROMPTS,
        propagation=Propagation.CHAIN,
        propagation_note="the outline on the prompted frame is the support; every other frame is compared with it",
        profile=f"{parts.profile}; then as {parts.refiner.name}",
        training="none; the encoder may be trained as DINOv2-SSL's",
        citation="Ayzenberg, Giryes, Greenspan. ProtoSAM: One-Shot Medical Image Segmentation With Foundational "
        "Models. arXiv 2407.07042; Scientific Reports 2025",
        license=parts.license,
        reported=REPORTED if parts.name == "protosam" else "",
        parity=PARITY,
        variants={name: words for name, words in {**SWITCHES_SAY, **_SAY}.items() if name in parts.variants},
        built_from=parts.built_from,
    )


PROTOSAM = _parts("protosam", SamShaped("sam_vit_h", LICENSE, SAM, SamEncoder.VIT_H), PAPER)
WITH_VIT_B = _parts("protosam_sam_b", SamShaped("sam_vit_b", LICENSE, SAM, SamEncoder.VIT_B), PAPER)
WITH_MEDSAM = _parts("protosam_medsam", medsam.PARTS, BOX_ONLY)
WITH_LITE = replace(
    _parts("protosam_lite_medsam", lite_medsam.PARTS, replace(BOX_ONLY, mask_resize=MaskResize.AREA)),
    license=lite_medsam.PARTS.license,
    own_features=True,
)
SYSTEMS = (
    _row(PROTOSAM, "SAM ViT-H"),
    _row(WITH_VIT_B, "SAM ViT-B"),
    _row(WITH_MEDSAM, "MedSAM"),
    _row(WITH_LITE, "LiteMedSAM"),
)
