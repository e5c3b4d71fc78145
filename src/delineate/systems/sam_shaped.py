"""How systems with SAM's parts are built; each system's own file says what makes it itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from delineate.predictors.frame_predictor import FramePredictor
from delineate.preprocess.profiles import Profile
from delineate.systems.building import SEED, loaded, needs_torch, record_of
from delineate.systems.system import BuildOptions

if TYPE_CHECKING:
    from delineate.checkpoints.reading import Weights

PROMPTS = ("box", "point", "scribble", "lasso", "mask")
CHAINS = "chains: the box around the outline on the last frame, {margin:g} input pixels larger, prompts the next one"


@dataclass(frozen=True)
class SamShaped:
    """What a SAM-shaped system needs to be built.

    encoder    vit_b, vit_l, vit_h, tiny_vit or tiny_vit_lite
    multimask  ambiguous, never or always: when three outlines are offered
    adapters   SAM-Med2D's, in every block
    feedback   what goes back with the next click: logits, or probability
    margin     see CHAINS
    whole      box corners are cut to whole input pixels
    """

    name: str
    licence: str
    profile: Profile
    encoder: str = "vit_b"
    multimask: str = "ambiguous"
    adapters: bool = False
    feedback: str = "logits"
    margin: float = 5.0
    whole: bool = False

    def build(self, options: BuildOptions) -> FramePredictor:
        """The predictor, its weights from a file, from the kept ones, or random."""
        needs_torch(self.name)
        import torch

        from delineate.adapters.sam_med2d import add_med2d_adapters
        from delineate.checkpoints.key_maps import resized_sam, sam_weights
        from delineate.compute.engine import Engine
        from delineate.models.sam import VIT_SIZES, Sam, SamEncoder, SamShape
        from delineate.predictors.export.image_encoder import Backend, run_exported
        from delineate.predictors.sam import SamPredictor
        from delineate.predictors.sam_behavior import MaskPrompt, Multimask, SamBehaviour

        engine = Engine.chosen(options.device, options.precision, options.threads)
        shape = SamShape(SamEncoder(self.encoder), self.profile.side)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = Sam(shape)
            if self.adapters:
                add_med2d_adapters(network.host.vision_encoder)

        def named(weights: Weights) -> Weights:
            found = sam_weights(weights)
            table = found.get("vision_encoder.pos_embed")
            cells = shape.side // shape.patch
            if table is not None and table.shape[1] != cells and shape.encoder in VIT_SIZES:
                found = resized_sam(found, cells, VIT_SIZES[shape.encoder].global_blocks)
            return found

        _, sha256 = loaded(self.name, options, network, network.host, named)
        behaviour = SamBehaviour(
            self.profile,
            Multimask[self.multimask.upper()],
            MaskPrompt[self.feedback.upper()],
            self.margin,
            self.whole,
        )
        run_exported(network, Backend(options.backend), f"{self.name}-{sha256[:16]}", engine.precision, options.threads)
        engine.settle(network.host.vision_encoder)
        record = record_of(self.name, sha256, self.licence, self.profile.summary, engine, options.backend)
        return SamPredictor(network.to(engine.device), behaviour, engine, record)

    @property
    def follows(self) -> str:
        return CHAINS.format(margin=self.margin)
