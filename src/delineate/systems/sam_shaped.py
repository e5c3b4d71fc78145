"""How systems with SAM's parts are built; each system's own file says what makes it itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from delineate.models.variants import SamEncoder
from delineate.predictors.capabilities import VISUAL_PROMPTS
from delineate.predictors.frame_predictor import FramePredictor
from delineate.predictors.sam_behavior import MaskPrompt, Multimask, SamBehavior
from delineate.preprocess.profiles import Profile
from delineate.systems.building import SEED, loaded, needs_torch, record_of, require_weights
from delineate.systems.on_graph import built_on_graph
from delineate.systems.system import BuildOptions

if TYPE_CHECKING:
    from torch import nn

    from delineate.checkpoints.reading import Weights

PROMPTS = VISUAL_PROMPTS
CHAINED_BOX = "the box around the mask on the last frame, {margin:g} input pixels larger, prompts the next one"


@dataclass(frozen=True)
class SamShaped:
    """What a SAM-shaped system needs to be built.

    multimask  when three masks are offered
    adapt      puts a paper's adapter into the network's host, before its weights are loaded
    feedback   what of the last answer goes back with the next click
    margin     see CHAINED_BOX
    whole      box corners are cut to whole input pixels
    variants   other profiles, by the name of the variant
    """

    name: str
    license: str
    profile: Profile
    encoder: SamEncoder = SamEncoder.VIT_B
    multimask: Multimask = Multimask.AMBIGUOUS
    adapt: Callable[[nn.Module], None] | None = None
    feedback: MaskPrompt = MaskPrompt.LOGITS
    margin: float = 5.0
    whole: bool = False
    variants: Mapping[str, Profile] = field(default_factory=dict)

    def build(self, options: BuildOptions) -> FramePredictor:
        """The predictor, its weights from a file, from the kept ones, or random."""
        profile = self.variants.get(options.variant, self.profile)
        behavior = SamBehavior(profile, self.multimask, self.feedback, self.margin, self.whole)
        if (predictor := built_on_graph(self.name, options, behavior, self.license)) is not None:
            return predictor
        require_weights(self.name, options)
        needs_torch(self.name)
        import torch

        from delineate.checkpoints.key_maps import resized_sam, sam_weights
        from delineate.compute.engine import Engine
        from delineate.models.sam import VIT_SIZES, Sam, SamShape
        from delineate.predictors.export.image_encoder import Backend, run_exported
        from delineate.predictors.sam import SamPredictor

        engine = Engine.chosen(options.device, options.precision, options.threads)
        shape = SamShape(self.encoder, self.profile.side)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = Sam(shape)
            if self.adapt is not None:
                self.adapt(network.host)

        def named(weights: Weights) -> Weights:
            found = sam_weights(weights)
            table = found.get("vision_encoder.pos_embed")
            cells = shape.side // shape.patch
            if table is not None and table.ndim == 4 and table.shape[1] != cells and shape.encoder in VIT_SIZES:
                found = resized_sam(found, cells, VIT_SIZES[shape.encoder].global_blocks)
            return found

        _, sha256 = loaded(self.name, options, network, network.host, named)
        run_exported(
            network, Backend(options.encoder_backend), f"{self.name}-{sha256[:16]}", engine.precision, options.threads
        )
        engine.cast_weights(network.host.vision_encoder)
        record = record_of(
            self.name, sha256, self.license, profile.summary, engine, options.encoder_backend, options.variant
        )
        return SamPredictor(network.to(engine.device), behavior, engine, record)

    @property
    def propagation_note(self) -> str:
        """What is particular about how structures are followed."""
        return CHAINED_BOX.format(margin=self.margin)
