"""How systems with SAM 2's parts are built; each system's own file says what makes it itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from delineate.models.variants import CrossAttention, Pruning, Sam2Family, Sam2Size, Sam2Version, TamSize
from delineate.predictors.capabilities import VISUAL_PROMPTS
from delineate.predictors.frame_predictor import FramePredictor
from delineate.preprocess.profiles import Profile, sam2_image, sam2_video
from delineate.systems.building import SEED, loaded, needs_torch, record_of, require_weights
from delineate.systems.system import BuildOptions

if TYPE_CHECKING:
    from delineate.checkpoints.reading import Weights
    from delineate.memory.policies import MemoryPolicy
    from delineate.models.sam2 import Sam2

PROMPTS = VISUAL_PROMPTS
WINDOW_OF_SIX = "memories of the conditioning frames and the last six, sixteen object pointers; slices are frames"


@dataclass(frozen=True)
class Sam2Shaped:
    """What a SAM 2-shaped system needs to be built.

    size       of the image encoder, of SAM 2's or EfficientTAM's
    side       pixels along a side of the input
    pruning    efficient frame pruning of the memory; None: the last frames are kept
    attention  EfficientTAM's attention to memories
    resets     whether the authors forget what was followed before they follow the other way
    series     name of the variant that remembers images it answered one by one (BioSAM 2)
    """

    name: str
    license: str
    family: Sam2Family = Sam2Family.SAM2
    size: Sam2Size | TamSize = Sam2Size.TINY
    version: Sam2Version = Sam2Version.V2_1
    side: int = 1024
    pruning: Pruning | None = None
    attention: CrossAttention = CrossAttention.FULL
    resets: bool = False
    series: str = ""
    image_profile: Callable[[int], Profile] = sam2_image
    video_profile: Callable[[int], Profile] = sam2_video

    def build(self, options: BuildOptions) -> FramePredictor:
        """The predictor, its weights from a file, from the kept ones, or random."""
        require_weights(self.name, options)
        needs_torch(self.name)
        import torch

        from delineate.compute.engine import Engine
        from delineate.predictors.export.image_encoder import Backend, run_exported
        from delineate.predictors.sam2 import Sam2Predictor
        from delineate.predictors.sam2_series import SeriesPredictor

        engine = Engine.chosen(options.device, options.precision, options.threads)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network, named = self._network()
        _, sha256 = loaded(self.name, options, network, network.host, named)
        run_exported(
            network, Backend(options.encoder_backend), f"{self.name}-{sha256[:16]}", engine.precision, options.threads
        )
        host = network.host
        engine.cast_weights(host.vision_encoder, host.memory_attention, host.memory_encoder)
        record = record_of(
            self.name,
            sha256,
            self.license,
            self.video_profile(self.side).summary,
            engine,
            options.encoder_backend,
            options.variant,
        )
        kind = SeriesPredictor if options.variant and options.variant == self.series else Sam2Predictor
        return kind(
            network.to(engine.device),
            engine,
            record,
            self.image_profile,
            self.video_profile,
            self._policy(),
            self.resets,
        )

    def _network(self) -> tuple[Sam2, Callable[[Weights], Weights]]:
        from delineate.checkpoints import key_maps
        from delineate.models import edge_tam, efficient_tam, sam2

        if self.family is Sam2Family.EFFICIENT_TAM:
            shape = efficient_tam.TamShape(TamSize(self.size), self.attention, self.side)
            return efficient_tam.EfficientTam(shape), lambda w: key_maps.efficient_tam_weights(w, self.side // 16)
        if self.family is Sam2Family.EDGE_TAM:
            return edge_tam.EdgeTam(edge_tam.EdgeTamShape(self.side)), key_maps.edge_tam_weights
        sizes = sam2.Sam2Shape(Sam2Size(self.size), self.version, self.side)
        return sam2.Sam2(sizes), key_maps.sam2_weights

    def _policy(self) -> MemoryPolicy:
        from delineate.memory.policies import EfficientFramePruning, FrameWindow

        return FrameWindow() if self.pruning is None else EfficientFramePruning(version=self.pruning)
