"""One-shot segmentation by adaptive local prototypes: SSL-ALPNet and DINOv2-SSL.

Ouyang et al., ECCV 2020, arXiv 2007.09886 (journal: IEEE TMI 2022): local prototypes of structure and background,
pooled from the support's features, are compared with each cell of the query; the encoder learns from superpixels,
without labels. Ayzenberg et al., ISBI 2024, arXiv 2403.03273: the same with DINOv2, frozen or with LoRA.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from delineate.checkpoints.download import Download
from delineate.fewshot.prototypes import PrototypeOptions, ShotReduction
from delineate.models.variants import PositionInterpolation
from delineate.predictors.capabilities import PromptKind, Propagation
from delineate.systems.one_shot import MaskResize, OneShotOptions
from delineate.systems.one_shot_shaped import DEEPLAB_LAYOUT, DINOV2_LAYOUT, OneShotShaped
from delineate.systems.system import System
from delineate.systems.token_features import Normalization

FROM_EXAMPLE = "the outline on the prompted frame is the support; every other frame is compared with it"
TRAINING = (
    "self-supervised: a superpixel of a slice is the structure, the slice augmented twice is support and query; "
    "weighted cross entropy and the alignment loss 1:1; SGD 1e-3, momentum 0.9, 100,000 steps of one episode"
)
SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "exact_size": {"positions": PositionInterpolation.EXACT},
    "imagenet": {"normalize": Normalization.IMAGENET},
}
SWITCHES_SAY = {
    "exact_size": "DINOv2's positions resized to the grid's size, without its authors' offset of 0.1",
    "imagenet": "intensities through the scan's window with ImageNet's mean and deviation, not z-scored",
}
PARITY = "against another writing from its equations on random weights: features 7e-7, scores 1e-5, prompts equal"
ALPNET = OneShotShaped(
    "alpnet",
    "MIT (code); weights as trained",
    256,
    encoder=None,
    options=OneShotOptions(PrototypeOptions(reduction=ShotReduction.MEAN), MaskResize.BILINEAR),
    variants={"imagenet": SWITCHES["imagenet"]},
)
DINOV2_SSL = OneShotShaped("dinov2_ssl", "Apache-2.0 (DINOv2)", 256, variants=SWITCHES)
SYSTEMS = (
    System(
        name=ALPNET.name,
        summary="SSL-ALPNet: one outlined slice is found on others by local prototypes; ResNet-101 at 256 px",
        build=ALPNET.build,
        prompts=frozenset({PromptKind.MASK}),
        propagation=Propagation.CHAIN,
        propagation_note=FROM_EXAMPLE,
        profile=ALPNET.profile,
        training=TRAINING,
        citation="Ouyang, Biffi, Chen, Kart, Qiu, Rueckert. Self-supervised Learning for Few-shot Medical Image "
        "Segmentation. IEEE TMI 2022; ECCV 2020, arXiv 2007.09886",
        license=ALPNET.license,
        reported="",
        parity=PARITY,
        recipe="alpnet",
        layout=DEEPLAB_LAYOUT,
        variants={"imagenet": SWITCHES_SAY["imagenet"]},
    ),
    System(
        name=DINOV2_SSL.name,
        summary="One outlined slice is found on others by local prototypes of DINOv2's features",
        build=DINOV2_SSL.build,
        prompts=frozenset({PromptKind.MASK}),
        propagation=Propagation.CHAIN,
        propagation_note=FROM_EXAMPLE,
        profile=DINOV2_SSL.profile,
        training=f"{TRAINING}; of DINOv2 only LoRA of rank 4 is trained, or nothing",
        citation="Ayzenberg, Giryes, Greenspan. DINOv2 Based Self-Supervised Learning for Few Shot Medical Image "
        "Segmentation. ISBI 2024, arXiv 2403.03273",
        license=DINOV2_SSL.license,
        parity=PARITY,
        recipe="alpnet",
        layout=DINOV2_LAYOUT,
        download=Download("https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth"),
        variants=SWITCHES_SAY,
    ),
)
