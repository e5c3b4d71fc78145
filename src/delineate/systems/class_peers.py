"""SAMed, MA-SAM and SAM-Adapter: rows of one table, SAM with a mask token a class and parts in a frozen encoder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from delineate.adapters.freeze import FreezePolicy
from delineate.preprocess.profiles import CLASSES_512, SAM_ADAPTER
from delineate.systems.class_shaped import UPSCALED, ClassShaped, sam_names
from delineate.systems.layout import CheckpointLayout
from delineate.systems.system import System

if TYPE_CHECKING:
    from torch import nn

    from delineate.checkpoints.reading import Weights
    from delineate.models.sam import SamShape

RANK = 4
SYNAPSE = ("aorta", "gallbladder", "left kidney", "right kidney", "liver", "pancreas", "spleen", "stomach")
TWELVE = tuple(f"class {n + 1}" for n in range(12))  # whose order the authors' code does not say


def _samed(shape: SamShape, classes: int, variant: str) -> nn.Module:
    """LoRA on queries and values of every block; of the rest prompt encoder and decoder learn."""
    from delineate.adapters.lowrank import LowRank, add_to_queries_and_values
    from delineate.models.class_sam import ClassSam

    network = ClassSam(shape, classes)
    add_to_queries_and_values(network.host.vision_encoder, lambda i, o: LowRank(i, o, RANK))
    return network


def _samed_names(weights: Weights) -> Weights:
    """``w_a_000`` and so on: two of each kind a block, of queries and of values."""
    named: Weights = {}
    for key, value in weights.items():
        if found := re.match(r"^w_([ab])_(\d+)$", key):
            block, part = divmod(int(found[2]), 2)
            where = f"{('query', 'value')[part]}.{'down' if found[1] == 'a' else 'up'}"
            named[f"vision_encoder.layers.{block}.attn.qkv.delta.{where}.weight"] = value
        else:
            named[key] = value
    return sam_names(named)


def _ma_sam(shape: SamShape, classes: int, variant: str) -> nn.Module:
    """FacT on queries and values; convolutions along the slices before attention and before the MLP."""
    from delineate.adapters.conv_depth import ConvDepthAdapter
    from delineate.adapters.init import Init
    from delineate.adapters.lowrank import add_factor_tensors
    from delineate.adapters.slots import Insertion, Slot, insert
    from delineate.models.class_sam import ClassSam

    init = Init.REFERENCE if variant else Init.IDENTITY
    network = ClassSam(shape, classes, sixteen=True)
    add_factor_tensors(network.host.vision_encoder)
    insert(
        network.host.vision_encoder,
        Insertion(Slot.BEFORE, lambda w, _: ConvDepthAdapter(w, init=init)),
        Insertion(Slot.BETWEEN, lambda w, _: ConvDepthAdapter(w, init=init)),
    )
    return network


def _ma_sam_names(weights: Weights) -> Weights:
    from delineate.checkpoints.fact_names import fact_names

    return fact_names(weights)


def _sam_adapter(shape: SamShape, classes: int, variant: str) -> nn.Module:
    """What is made of patch embedding and high frequencies is added to the tokens before every block.

    Raises ModelError for more than one class.
    """
    from delineate.adapters.init import Init
    from delineate.core.errors import ModelError
    from delineate.models.prompted_tokens import PromptedTokensSam

    if classes != 1:
        raise ModelError("E-MODEL-BEGUN", f"SAM-Adapter outlines one structure, not {classes}.", "Give one --class.")
    return PromptedTokensSam(shape, Init.REFERENCE if variant else Init.IDENTITY)


def _sam_adapter_names(weights: Weights) -> Weights:
    from delineate.checkpoints.key_maps import renamed

    rules = (
        (r"^image_encoder\.prompt_generator\.embedding_generator\.", "generator.embedding."),
        (r"^image_encoder\.prompt_generator\.prompt_generator\.proj\.", "generator.frequencies."),
        (r"^image_encoder\.prompt_generator\.lightweight_mlp_(\d+)\.0\.", r"generator.own.\1."),
        (r"^image_encoder\.prompt_generator\.shared_mlp\.", "generator.shared."),
    )
    return sam_names(renamed(weights, rules))


SAMED = ClassShaped("samed", "sam_vit_b", "MIT", CLASSES_512, _samed, SYNAPSE, _samed_names, fresh=(r"\.delta\.",))
MA_SAM = ClassShaped(
    "ma_sam", "sam_vit_b", "Apache-2.0", CLASSES_512, _ma_sam, TWELVE, _ma_sam_names,
    fresh=(r"\.(before|between|delta|factors)\.",), remade=UPSCALED, depth=5,
)  # fmt: skip
PROMPTED = ClassShaped(
    "sam_adapter", "sam_vit_b", "MIT", SAM_ADAPTER, _sam_adapter, ("structure",), _sam_adapter_names,
    fresh=(r"^generator\.",), remade=(), tokens_beside=None,
)  # fmt: skip
ONE_CALL = "one call outlines every frame by itself"


@dataclass(frozen=True)
class _Said:
    row: ClassShaped
    summary: str
    training: str
    citation: str
    reported: str
    parity: str
    layout: CheckpointLayout
    policy: tuple[str, ...]
    variants: tuple[str, ...] = ()
    recipe: str | None = None

    def system(self) -> System:
        row, policy = self.row, FreezePolicy.training(*self.policy)
        note = ONE_CALL if row.depth == 1 else f"one call outlines a volume, {row.depth} slices at a time"
        released = {"released": "parts begin with random weights, as the released code, not as nothing"}
        return System(
            name=row.name, summary=self.summary, build=row.build, prompts=frozenset(), propagation=None,
            propagation_note=note, profile=row.profile.summary, training=self.training, citation=self.citation,
            license=row.license, reported=self.reported, parity=self.parity, layout=self.layout,
            variants=released if self.variants else {}, policy=lambda _: policy, recipe=self.recipe,
        )  # fmt: skip


SYSTEMS = tuple(
    one.system()
    for one in (
        _Said(
            SAMED,
            "SAMed: SAM ViT-B at 512 px that names eight abdominal organs on CT, LoRA in its encoder",
            "LoRA (rank 4), prompt encoder and decoder; 0.2 cross entropy + 0.8 Dice on logits; AdamW 5e-3, 250 steps "
            "of warm-up, polynomial decay (0.9); 160 epochs",
            "Zhang, Liu. Customized Segment Anything Model for Medical Image Segmentation. arXiv 2304.13785",
            "Synapse, 8 organs: mean Dice 81.88, HD95 20.64 mm (README)",
            "against a second writing of its layers, and as one matrix of twice the rank: layers 1e-6 (tests/adapters)",
            CheckpointLayout("SAMed", holds=("w_a_000", "prompt_encoder."), lacks=("w_g_000",), file_names=("samed",)),
            (r"\.delta\.", r"^prompt_encoder\.", r"^mask_decoder\."),
            recipe="samed",
        ),
        _Said(
            MA_SAM,
            "MA-SAM: SAM ViT-B at 512 px that names twelve classes, five slices at a time",
            "FacT (rank 32), convolutions along the slices, prompt encoder and decoder; 0.2 cross entropy + 0.8 Dice; "
            "AdamW 8e-4, 250 steps of warm-up, polynomial decay (7); 300 epochs",
            "Chen, Miao, Wu et al. MA-SAM: Modality-agnostic SAM Adaptation for 3D Medical Image Segmentation. Medical "
            "Image Analysis 2024. arXiv 2309.08842",
            "",
            "against a second writing of its layers: convolutions 1e-6, FacT 1e-6, decoder 2e-5 (tests/adapters)",
            CheckpointLayout("MA-SAM", holds=("q_FacTs_000", "v_FacTs_000"), file_names=("ma_sam", "masam")),
            (r"\.(before|between|delta|factors)\.", r"^prompt_encoder\.", r"^mask_decoder\."),
            ("released",),
            "ma_sam",
        ),
        _Said(
            PROMPTED,
            "SAM-Adapter: SAM ViT-B at 1024 px for one structure, high frequencies of the image beside its tokens",
            "generator and decoder; binary cross entropy + IoU; AdamW 2e-4, cosine; 20 epochs",
            "Chen, Zhu, Ding et al. SAM Fails to Segment Anything? SAM-Adapter. arXiv 2304.09148",
            "",
            "against a second writing of its generator: prompts 2e-5 (tests/adapters)",
            CheckpointLayout("SAM-Adapter", holds=("prompt_generator.",), file_names=("sam_adapter",)),
            (r"^generator\.", r"^mask_decoder\."),
            ("released",),
            "sam_adapter",
        ),
    )
)
