"""MediViSTA: SAM for clips of heart ultrasound, whose frames look at each other (arXiv 2309.13539; IEEE JBHI 2025).

The arXiv entry changed its method between versions: ``medivista_sam`` is the first (128 px, a U-Net's stem and decoder,
attention over time at every place and to the frame before), ``medivista`` the journal's (256 px, FacT, keys and values
blended over frames, a wavelet branch). Neither released code can be trained or run as its paper describes; both are
built from the papers here, and no published weights exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from delineate.adapters.freeze import FreezePolicy
from delineate.preprocess.profiles import MEDIVISTA, MEDIVISTA_SAM
from delineate.systems.class_shaped import UPSCALED, ClassShaped
from delineate.systems.layout import CheckpointLayout
from delineate.systems.system import System

if TYPE_CHECKING:
    from torch import nn

    from delineate.checkpoints.reading import Weights
    from delineate.models.sam import SamShape

RELEASED = "released"
CLASSES = ("left ventricle", "myocardium", "left atrium")
LEGACY_V1 = (  # names of the first released code
    (r"\.temporal_norm1\.", ".before.norm."),
    (r"\.temporal_attn\.", ".before."),
    (r"\.temporal_fc\.", ".before.fc."),
    (r"\.cross_frame_attention\.", ".before_2."),
    (r"\.MLP_Adapter\.D_fc1\.", ".mlp_parallel.down."),
    (r"\.MLP_Adapter\.D_fc2\.", ".mlp_parallel.up."),
    (r"^image_encoder\.inc\.", "stem.levels.0."),
    *((rf"^image_encoder\.down{n}\.(maxpool_conv\.1\.)?", f"stem.levels.{n}.") for n in range(1, 5)),
    (r"^image_encoder\.out_conv\.0\.", "vision_encoder.neck_slot.conv."),
    (r"^image_encoder\.out_conv\.1\.", "vision_encoder.neck_slot.norm."),
    (r"^mask_decoder\.ch_adjust\.", "mask_decoder.up_path.reduce."),
)
UNUSED_V1 = (  # of the first code, built and never called
    "image_encoder.patch_embed.", "image_encoder.pos_embed", "image_encoder.neck.", "mask_decoder.iou_",
    "mask_decoder.up3.", "mask_decoder.output_upscaling.",
)  # fmt: skip


def _first(shape: SamShape, classes: int, variant: str) -> nn.Module:
    from delineate.adapters.init import Init
    from delineate.adapters.temporal import First
    from delineate.models.medivista import MediVistaSam

    released = variant == RELEASED
    init = Init.REFERENCE if released else Init.IDENTITY
    return MediVistaSam(shape, classes, First.LAST if released else First.SELF, init)


def _journal(shape: SamShape, classes: int, variant: str) -> nn.Module:
    from delineate.adapters.init import Init
    from delineate.models.medivista import MediVista

    released = variant == RELEASED
    return MediVista(shape, classes, normalize=not released, init=Init.REFERENCE if released else Init.IDENTITY)


def _first_names(weights: Weights) -> Weights:
    from delineate.checkpoints.key_maps import renamed, sam_weights

    kept = {key: value for key, value in weights.items() if not key.startswith(UNUSED_V1)}
    return sam_weights(renamed(kept, LEGACY_V1))


def _journal_names(weights: Weights) -> Weights:
    from delineate.checkpoints.fact_names import fact_names

    return fact_names(weights)


FIRST = ClassShaped(
    "medivista_sam", "sam_vit_b", "no weights were released", MEDIVISTA_SAM, _first, CLASSES, _first_names,
    fresh=(r"\.(before|before_2|mlp_parallel|neck_slot)\.", r"^stem\.", r"up_path"),
    dropped=(r"vision_encoder\.(pos_embed|patch_embed|neck)\b", r"rel_pos_", r"mask_decoder\.(upscale_|iou_)"),
    depth=8, gray=True, resized=False, tokens_beside=0,
)  # fmt: skip
JOURNAL = ClassShaped(
    "medivista", "sam_vit_b", "no weights were released", MEDIVISTA, _journal, CLASSES, _journal_names,
    fresh=(r"\.(before|attention_input|delta|factors)\.", r"^branch\."), remade=UPSCALED, depth=10,
)  # fmt: skip
CITATION = (
    "Kim, Kim, Jin, Chao, Wood, Guan et al. MediViSTA: Medical Video Segmentation via Temporal Fusion SAM Adaptation "
    "for Echocardiography. IEEE Journal of Biomedical and Health Informatics 2025. arXiv 2309.13539"
)
NOTE = "one call outlines a whole clip, in windows of {} frames that overlap by half"
SYSTEMS = (
    System(
        name=FIRST.name,
        summary="MediViSTA-SAM (2023): heart chambers on every frame of an ultrasound clip, without a prompt",
        build=FIRST.build,
        recipe=FIRST.name,
        prompts=frozenset(),
        propagation=None,
        propagation_note=NOTE.format(FIRST.depth),
        profile=f"{MEDIVISTA_SAM.summary}; gray, scaled over the clip",
        training="stem, temporal parts, adapters and decoder on a frozen SAM; cross entropy and Dice, AdamW (the "
        "authors' recipe was not published)",
        citation=f"{CITATION} (versions 1 and 2)",
        license=FIRST.license,
        reported="zero-shot, in-house clips: ejection fraction r = 0.89, bias -1.13 (README of the old repository)",
        parity="against a second writing of the paper's network, tiny: parts 1e-6, masks 2e-5 (tests/adapters)",
        layout=CheckpointLayout("MediViSTA-SAM", holds=("temporal_attn.qkv",), file_names=("medivista_sam",)),
        variants={RELEASED: "as the released code: the first frame looks at the last, nothing begins at zero"},
        policy=lambda _: FreezePolicy.training(
            r"\.(before|before_2|mlp_parallel|neck_slot)\.", r"^stem\.", r"^mask_decoder\."
        ),
    ),
    System(
        name=JOURNAL.name,
        summary="MediViSTA (2025): heart chambers on every frame of an ultrasound clip, without a prompt",
        build=JOURNAL.build,
        recipe=JOURNAL.name,
        prompts=frozenset(),
        propagation=None,
        propagation_note=NOTE.format(JOURNAL.depth),
        profile=MEDIVISTA.summary,
        training="FacT, temporal fusion, branch and decoder on a frozen SAM; cross entropy; AdamW 8e-4, weight decay "
        "0.1, 250 steps of warm-up, polynomial decay (7); 2 clips of 10 frames a step",
        citation=CITATION,
        license=JOURNAL.license,
        reported="unseen centers: 2.15 % Dice and 0.09 temporal consistency above the second best (abstract)",
        parity="against a second writing of the paper's parts: fusion 1e-6, others 1e-6, decoder 2e-5 (tests/adapters)",
        variants={
            RELEASED: "blended keys and values are not normalized, as the released kernel; fusion and attention to the "
            "branch begin with random weights"
        },
        policy=lambda _: FreezePolicy.training(
            r"\.(before|attention_input|delta|factors)\.", r"^branch\.", r"^mask_decoder\."
        ),
    ),
)
