"""SAM-UNet (Yang et al., arXiv 2408.09886 v1): a ResNet beside SAM's frozen encoder, a decoder of several scales.

Maps of the ResNet are added before the four blocks with attention over the whole picture; what leaves the first three
of these goes to the decoder. One learned token makes one mask; its quality is not predicted: how stable the outline is
stands for it (SAM's measure). Prompted with a box.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from delineate.adapters.freeze import FreezePolicy
from delineate.models.variants import SamEncoder
from delineate.predictors.capabilities import PromptKind, Propagation
from delineate.predictors.sam_behavior import Multimask, SamBehavior
from delineate.preprocess.profiles import SAM_UNET, Profile
from delineate.systems.adapted import AdaptedWeights, require_torch_backend
from delineate.systems.building import SEED, needs_torch, record_of
from delineate.systems.layout import CheckpointLayout
from delineate.systems.sam_shaped import CHAINED_BOX
from delineate.systems.system import BuildOptions, System

if TYPE_CHECKING:
    from torch import nn

    from delineate.checkpoints.reading import Weights
    from delineate.checkpoints.system_file import SystemCard
    from delineate.predictors.sam import SamPredictor

RELEASED = "released"
LICENSE = "unstated by the authors"
FRESH = (
    r"^(resnet|inputs|bridges|embedding_encoder)\.", r"^mask_decoder\.(med_token|med_head|mask_feature)\.",
)  # fmt: skip
DROPPED = (r"^mask_decoder\.(iou_token|mask_tokens|iou_prediction_head|output_hypernetworks_mlps)\b",)
LEGACY = (  # names of the released code
    (r"^image_encoder\.sam_img_encoder\.", "image_encoder."),
    (r"^prompt_encoder\.sam_prompt_encoder\.", "prompt_encoder."),
    (r"^mask_decoder\.sam_mask_decoder\.", "mask_decoder."),
    (r"^mask_decoder\.med_token$", "mask_decoder.med_token.weight"),
    (r"^mask_decoder\.hf_mlp\.layers\.0\.", "mask_decoder.med_head.proj_in."),
    (r"^mask_decoder\.hf_mlp\.layers\.1\.", "mask_decoder.med_head.layers.0."),
    (r"^mask_decoder\.hf_mlp\.layers\.2\.", "mask_decoder.med_head.proj_out."),
    (r"^mask_decoder\.embedding_maskfeature\.", "mask_decoder.mask_feature.layers."),
    (r"^adapters_in\.(\d)\.reshaper\.", r"inputs.\1."),
    (r"^adapters_bridge\.(\d)\.", r"bridges.\1."),
)
RESNET = (  # torchvision's names to the host library's
    (r"^resnet\.conv1\.", "resnet.embedder.embedder.convolution."),
    (r"^resnet\.bn1\.", "resnet.embedder.embedder.normalization."),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
)


def native_to_ours(weights: Weights) -> Weights:
    """Published names to the network's; what of SAM's decoder is not used is left out."""
    from delineate.checkpoints.key_maps import renamed, sam_weights

    named: Weights = {}
    for key, value in renamed(weights, (*LEGACY, *RESNET)).items():
        if key.startswith("resnet.fc."):
            continue
        if found := re.match(r"^resnet\.layer(\d)\.(\d+)\.(conv|bn)(\d)\.(.*)$", key):
            stage, block, kind, number, rest = found.groups()
            part = "convolution" if kind == "conv" else "normalization"
            key = f"resnet.encoder.stages.{int(stage) - 1}.layers.{block}.layer.{int(number) - 1}.{part}.{rest}"
        else:
            key = re.sub(
                r"^resnet\.layer(\d)\.(\d+)\.shortcut\.",
                lambda m: f"resnet.encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.shortcut.",
                key,
            )
        named[key] = value
    return {key: value for key, value in sam_weights(named).items() if not re.search(DROPPED[0], key)}


@dataclass(frozen=True)
class SamUnetRow:
    """A row: SAM-UNet with one of two ResNets."""

    name: str
    depth: int
    profile: Profile = SAM_UNET
    encoder = SamEncoder.VIT_B

    def build(self, options: BuildOptions) -> SamPredictor:
        """The predictor, its weights from a file, from the kept ones, from SAM's, or random."""
        needs_torch(self.name)
        import torch

        from delineate.compute.engine import Engine
        from delineate.predictors.sam import SamPredictor

        require_torch_backend(self.name, options, "its parts are made as it runs")
        engine = Engine.chosen(options.device, options.precision, options.threads)
        card = self.files.card(options)
        options = options if card is None else replace(options, variant=options.variant or card.variant)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network: Any = self.network(options.variant, card)
        sha256 = self.files.load(options, network.host)
        network.eval()
        engine.cast_weights(network.host.vision_encoder)
        profile = replace(self.profile, side=network.shape.side)
        record = record_of(self.name, sha256, LICENSE, profile.summary, engine, variant=options.variant)
        return SamPredictor(network.to(engine.device), SamBehavior(profile, Multimask.NEVER), engine, record)

    @property
    def files(self) -> AdaptedWeights:
        """Where weights come from."""
        return AdaptedWeights(self.name, "sam_vit_b", native_to_ours, self._host_named, FRESH, dropped=DROPPED)

    def network(self, variant: str = "", card: SystemCard | None = None) -> nn.Module:
        """The network with weights as they begin."""
        from delineate.adapters.init import Init
        from delineate.models.sam import shape_of
        from delineate.models.sam_unet import ResNetDepth, SamUnet

        shape = shape_of(self.encoder, self.profile.side, None if card is None else card.sizes)
        return SamUnet(shape, ResNetDepth(self.depth), Init.REFERENCE if variant else Init.IDENTITY)

    def _host_named(self, weights: Weights) -> Weights:
        from delineate.checkpoints.key_maps import resized_sam, sam_weights
        from delineate.models.sam import VIT_SIZES

        named, cells = sam_weights(weights), self.profile.side // 16
        table = named.get("vision_encoder.pos_embed")
        if table is None or table.ndim != 4 or table.shape[1] == cells:
            return named
        return resized_sam(named, cells, VIT_SIZES[self.encoder].global_blocks)


def _system(row: SamUnetRow, width: int) -> System:
    return System(
        name=row.name,
        summary=f"SAM-UNet: SAM ViT-B at 256 px with a ResNet-{row.depth} beside it, prompted with a box",
        build=row.build,
        recipe="sam_unet",
        prompts=frozenset({PromptKind.BOX}),
        propagation=Propagation.CHAIN,
        propagation_note=CHAINED_BOX.format(margin=5),
        profile=SAM_UNET.summary,
        training="all but SAM's encoder; focal + 20 Dice; Adam 1e-4, halved after epochs 5 and 10 of 12; a box moved "
        "by up to 5 px; SA-Med2D-16M",
        citation="Yang, Bi, Zhang et al. SAM-UNet: Enhancing Zero-Shot Segmentation of SAM for Universal Medical "
        "Images. arXiv 2408.09886 (version 1)",
        license=LICENSE,
        reported="SA-Med2D-16M, test: mean Dice 0.883 (abstract)",
        parity="against a second writing of its network, tiny: masks 1e-6 (tests/adapters)",
        layout=CheckpointLayout(
            "SAM-UNet",
            {"adapters_in.0.reshaper.0.weight": (2 * width, width, 3, 3)},
            holds=("med_token", "adapters_in."),
            file_names=("sam_unet", "samunet"),
        ),
        variants={RELEASED: "the ResNet's maps come in with random weights, as in the released code, not as nothing"},
        policy=lambda _: FreezePolicy.training(
            r"^(resnet|inputs|bridges|embedding_encoder|mask_decoder|prompt_encoder)\."
        ),
    )


SYSTEMS = (_system(SamUnetRow("sam_unet", 34), 64), _system(SamUnetRow("sam_unet_r50", 50), 256))
