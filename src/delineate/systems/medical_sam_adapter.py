"""Medical SAM Adapter (Wu et al., arXiv 2304.12620; Medical Image Analysis 2025).

Bottlenecks after attention and beside the MLP of every block; in 3D a second pass through the same frozen attention,
between slices (SD-Trans); in the decoder adapters whose weights the prompt makes (HyP-Adpt). On SAM, MobileSAM,
LiteMedSAM and SAM 2. The released code has no adapters in the decoder, and three in every block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from delineate.adapters.freeze import FreezePolicy
from delineate.models.variants import SamEncoder
from delineate.predictors.capabilities import VISUAL_PROMPTS, Propagation
from delineate.predictors.frame_predictor import Predictor
from delineate.predictors.sam_behavior import Multimask, SamBehavior
from delineate.preprocess.profiles import LITE_MEDSAM, MEDICAL_SAM_ADAPTER, SAM_SQUARE, Profile
from delineate.systems.adapted import AdaptedWeights, require_torch_backend
from delineate.systems.building import SEED, needs_torch, record_of
from delineate.systems.layout import CheckpointLayout
from delineate.systems.sam_shaped import CHAINED_BOX
from delineate.systems.system import BuildOptions, System

if TYPE_CHECKING:
    from torch import nn

    from delineate.checkpoints.reading import Weights
    from delineate.checkpoints.system_file import SystemCard

RELEASED, LORA, ADALORA = "released", "lora", "adalora"
SCALE = 0.5  # of what is added beside an MLP
SLICES = 8  # embedded together in 3D
RANK = 4  # of the low-rank variants
LEGACY = (  # names of the released code
    (r"\.Space_Adapter\.D_fc1\.", ".attention_output.down."),
    (r"\.Space_Adapter\.D_fc2\.", ".attention_output.up."),
    (r"\.MLP_Adapter\.D_fc1\.", ".mlp_parallel.down."),
    (r"\.MLP_Adapter\.D_fc2\.", ".mlp_parallel.up."),
    (r"\.Depth_Adapter\.D_fc1\.", ".attention_parallel.adapter.down."),
    (r"\.Depth_Adapter\.D_fc2\.", ".attention_parallel.adapter.up."),
    (r"\.attn\.rel_([hw])$", r".attn.rel_pos_\1"),  # since January 2024
)


def adapt(host: Any, variant: str = "", volumes: bool = False) -> None:
    """Put the paper's parts into a host (or, by ``variant``, those of the released code)."""
    from torch import nn

    from delineate.adapters.bottleneck import Bottleneck, ParallelBottleneck
    from delineate.adapters.depth import DepthAttention, DepthGrid
    from delineate.adapters.hyper import HyperPromptAdapter
    from delineate.adapters.init import Init
    from delineate.adapters.lowrank import LowRank, Svd, add_to_mlps, add_to_queries_and_values
    from delineate.adapters.slots import DecoderSlot, Insertion, Slot, insert

    encoder, released = host.vision_encoder, variant == RELEASED
    if variant in (LORA, ADALORA):
        form = LowRank if variant == LORA else Svd
        add_to_queries_and_values(encoder, lambda i, o: form(i, o, RANK, 1.0))
        add_to_mlps(encoder, lambda i, o: form(i, o, RANK, 1.0))
        return
    ratio, activation = (1 / 4, nn.GELU) if released else (1 / 16, nn.ReLU)
    init = Init.REFERENCE if released else Init.IDENTITY
    insert(
        encoder,
        Insertion(Slot.ATTENTION_OUTPUT, lambda w, _: Bottleneck(w, ratio, activation=activation, init=init)),
        Insertion(Slot.MLP_PARALLEL, lambda w, _: ParallelBottleneck(w, ratio, SCALE, activation, init)),
    )
    if volumes or released:  # the code has it in 2D too, without a use
        grid = DepthGrid.REFERENCE if released else DepthGrid.LINE
        insert(
            encoder, Insertion(Slot.ATTENTION_PARALLEL, lambda _, w: DepthAttention(w, ratio, grid, activation, init))
        )
    if released:
        for block in encoder.modules():
            if hasattr(block, "pads_first"):
                block.pads_first = True
        return
    insert(
        host.mask_decoder,
        Insertion(DecoderSlot.HYPER, lambda w, _: HyperPromptAdapter(w)),
        Insertion(DecoderSlot.MLP_PARALLEL, lambda w, _: ParallelBottleneck(w, ratio, SCALE, activation)),
        Insertion(DecoderSlot.IMAGE_UPDATE, lambda w, _: Bottleneck(w, ratio, activation=activation)),
    )


PARTS = (r"\.(attention_output|attention_parallel|mlp_parallel|hyper|image_update)\.", r"\.delta\.")
DECODER = r"^mask_decoder\."


def policy(variant: str = "") -> FreezePolicy:
    """What learns: the paper's parts; in the released code and its low-rank variants the mask decoder, too."""
    return FreezePolicy.training(*PARTS, *([DECODER] if variant else []))


@dataclass(frozen=True)
class MedicalSamAdapter:
    """A row: a host with the paper's parts.

    start    the system the host is, and whose weights training begins from
    encoder  of SAM's shape; None: SAM 2
    profile  of the paper's variant; the released code's is its own
    volumes  slices are seen together (SD-Trans), and boxes are three-dimensional
    """

    name: str
    start: str
    encoder: SamEncoder | None = SamEncoder.VIT_B
    profile: Profile = SAM_SQUARE
    volumes: bool = False
    license: str = "Apache-2.0"

    def build(self, options: BuildOptions) -> Predictor:
        """The predictor, its weights from a file, from the kept ones, from the host's, or random."""
        needs_torch(self.name)
        import torch

        from delineate.compute.engine import Engine
        from delineate.predictors.clip_volume import ClipVolumePredictor

        require_torch_backend(self.name, options, "its parts are made as it runs")
        engine = Engine.chosen(options.device, options.precision, options.threads)
        files = self.files
        card = files.card(options)
        options = options if card is None else replace(options, variant=options.variant or card.variant)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network: Any = self.network(options.variant, card)
        sha256 = files.load(options, network.host)
        network.eval()
        engine.cast_weights(network.host.vision_encoder)
        predictor = self._predictor(network.to(engine.device), options, engine, sha256)
        depth = (card.sizes.depth if card is not None else None) or SLICES
        return ClipVolumePredictor(predictor, depth) if self.volumes else predictor

    @property
    def files(self) -> AdaptedWeights:
        """Where weights come from."""
        return AdaptedWeights(self.name, self.start, self._renamed, self._host_names, PARTS)

    def network(self, variant: str = "", card: SystemCard | None = None) -> nn.Module:
        """The host with its parts, weights as they begin."""
        from delineate.models.sam import Sam, shape_of
        from delineate.models.sam2 import Sam2, Sam2Shape

        network: Any
        sizes = None if card is None else card.sizes
        if self.encoder is None:
            network = Sam2(Sam2Shape(side=self.profile.side).of(sizes))
        else:
            network = Sam(shape_of(self.encoder, self.profile.side, sizes))
        adapt(network.host, variant, self.volumes)
        return network

    def _predictor(self, network: Any, options: BuildOptions, engine: Any, sha256: str) -> Any:
        from delineate.predictors.sam import SamPredictor
        from delineate.predictors.sam2 import Sam2Predictor

        released = options.variant == RELEASED
        profile = replace(MEDICAL_SAM_ADAPTER if released else self.profile, side=network.shape.side)
        record = record_of(self.name, sha256, self.license, profile.summary, engine, variant=options.variant)
        if self.encoder is None:
            return Sam2Predictor(network, engine, record)
        behavior = SamBehavior(profile, Multimask.NEVER, swapped_points=released)
        return SamPredictor(network, behavior, engine, record)

    def _host_names(self, weights: Weights) -> Weights:
        from delineate.checkpoints.key_maps import sam2_weights, sam_weights

        return sam2_weights(weights) if self.encoder is None else sam_weights(weights)

    def _renamed(self, weights: Weights) -> Weights:
        from delineate.checkpoints.key_maps import renamed

        return self._host_names(renamed(weights, LEGACY))


ROWS = (
    MedicalSamAdapter("medical_sam_adapter", "sam_vit_b"),
    MedicalSamAdapter("medical_sam_adapter_3d", "sam_vit_b", volumes=True),
    MedicalSamAdapter("medical_sam_adapter_mobile_sam", "mobile_sam", SamEncoder.TINY_VIT),
    MedicalSamAdapter("medical_sam_adapter_lite_medsam", "lite_medsam", SamEncoder.TINY_VIT_LITE, LITE_MEDSAM),
    MedicalSamAdapter(
        "medical_sam_adapter_lite_medsam_3d", "lite_medsam", SamEncoder.TINY_VIT_LITE, LITE_MEDSAM, volumes=True
    ),
    MedicalSamAdapter("medical_sam_adapter_sam2", "sam2.1_tiny", None),
    MedicalSamAdapter("medical_sam_adapter_sam2_3d", "sam2.1_tiny", None, volumes=True),
)
HOSTS = {
    "sam_vit_b": "SAM ViT-B",
    "mobile_sam": "MobileSAM",
    "lite_medsam": "LiteMedSAM",
    "sam2.1_tiny": "SAM 2.1 tiny",
}
WRITTEN_AGAIN = "against a second writing of the equations on the host library, tiny network: "
PARTS_ALIKE = "parts as on SAM ViT-B; answers begin as the host's, bit for bit (tests/adapters)"
PARITY: dict[SamEncoder | None, str] = {
    SamEncoder.VIT_B: f"{WRITTEN_AGAIN}encoder 1e-6, masks 2e-4 (tests/adapters)",
    None: f"{WRITTEN_AGAIN}encoder 2e-6, masks 2e-6 (tests/adapters)",
    SamEncoder.TINY_VIT: PARTS_ALIKE,
    SamEncoder.TINY_VIT_LITE: PARTS_ALIKE,
}
VARIANTS = {
    RELEASED: "as the released code: GELU, ratio 1/4, a third adapter in every block, none in the decoder, windows "
    "filled up before the norm, clicks as row and column, no mean and deviation",
    LORA: "as its repository: rank 4 beside queries, values and both layers of the MLP instead of adapters",
    ADALORA: "the same in AdaLoRA's form; training leaves half of the ranks",
}
LAYOUT = CheckpointLayout(
    "SAM with Medical SAM Adapter's parts",
    holds=("Space_Adapter.", "mask_decoder."),
    file_names=("medical_sam_adapter",),
)


def _system(row: MedicalSamAdapter) -> System:
    propagation, note = Propagation.CHAIN, CHAINED_BOX.format(margin=5)
    if row.volumes:
        note = "one call outlines a volume: every slice of a 3D box; from a click outwards, outline after outline"
    elif row.encoder is None:
        propagation, note = Propagation.MEMORY, "as SAM 2"
    vit = row.encoder is SamEncoder.VIT_B
    return System(
        name=row.name,
        summary=f"Medical SAM Adapter on {HOSTS[row.start]}: "
        + ("slices see each other, a 3D box outlines a volume" if row.volumes else "points and boxes on a picture"),
        build=row.build,
        recipe="medical_sam_adapter_3d" if row.volumes else "medical_sam_adapter",
        prompts=VISUAL_PROMPTS,
        propagation=None if row.volumes else propagation,
        propagation_note=note,
        profile=row.profile.summary,
        training="adapters alone (the released code: and the mask decoder); Adam 1e-4; BCE, in 3D Dice and cross "
        "entropy; one point, three points, or a box; 40 to 60 epochs (the code: 100)",
        citation="Wu, Wang, Hong, Ji, Fu, Xu, Xu, Jin. Medical SAM Adapter: Adapting Segment Anything Model for "
        "Medical Image Segmentation. Medical Image Analysis 2025. arXiv 2304.12620",
        license=row.license,
        reported="BTCV, 12 organs, mean Dice: 1 point 0.883, box 0.898 (paper; not reproduced by users of the code)"
        if vit
        else "",
        parity=PARITY[row.encoder],
        layout=(LAYOUT if row.name == "medical_sam_adapter" else None),
        variants=VARIANTS if vit else {},
        policy=policy,
    )


SYSTEMS = tuple(_system(row) for row in ROWS)
