"""How systems with SAM 2's parts are built; each system's own file says what makes it itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from delineate.predictors.frame_predictor import FramePredictor
from delineate.preprocess.profiles import Profile, sam2_image, sam2_video
from delineate.systems.building import SEED, loaded, needs_torch, record_of
from delineate.systems.system import BuildOptions

if TYPE_CHECKING:
    from delineate.checkpoints.reading import Weights
    from delineate.memory.policies import MemoryPolicy
    from delineate.models.sam2 import Sam2

PROMPTS = ("box", "point", "scribble", "lasso", "mask")
REMEMBERS = "remembers: the frames pointed at and the last six, sixteen object pointers; slices are frames"


@dataclass(frozen=True)
class Sam2Shaped:
    """What a SAM 2-shaped system needs to be built.

    family     sam2, efficient_tam or edge_tam
    size       tiny, small, base_plus, large; ti, s
    version    2.0 or 2.1
    side       pixels along a side of the input
    pruning    "", v1 or v2: efficient frame pruning of the memory
    attention  full, 1 or 2: EfficientTAM's attention to memories
    """

    name: str
    licence: str
    family: str = "sam2"
    size: str = "tiny"
    version: str = "2.1"
    side: int = 1024
    pruning: str = ""
    attention: str = "full"
    image_profile: Callable[[int], Profile] = sam2_image
    video_profile: Callable[[int], Profile] = sam2_video

    def build(self, options: BuildOptions) -> FramePredictor:
        """The predictor, its weights from a file, from the kept ones, or random."""
        needs_torch(self.name)
        import torch

        from delineate.compute.engine import Engine
        from delineate.predictors.export.image_encoder import Backend, run_exported
        from delineate.predictors.sam2 import Sam2Predictor

        engine = Engine.chosen(options.device, options.precision, options.threads)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network, named = self._network()
        _, sha256 = loaded(self.name, options, network, network.host, named)
        run_exported(network, Backend(options.backend), f"{self.name}-{sha256[:16]}", engine.precision, options.threads)
        host = network.host
        engine.settle(host.vision_encoder, host.memory_attention, host.memory_encoder)
        record = record_of(
            self.name,
            sha256,
            self.licence,
            self.video_profile(self.side).summary,
            engine,
            options.backend,
        )
        return Sam2Predictor(
            network.to(engine.device),
            engine,
            record,
            self.image_profile,
            self.video_profile,
            self._policy(),
        )

    def _network(self) -> tuple[Sam2, Callable[[Weights], Weights]]:
        from delineate.checkpoints import key_maps
        from delineate.models import edge_tam, efficient_tam, sam2

        if self.family == "efficient_tam":
            shape = efficient_tam.TamShape(
                efficient_tam.TamSize(self.size), efficient_tam.CrossAttention(self.attention), self.side
            )
            return efficient_tam.EfficientTam(shape), lambda w: key_maps.efficient_tam_weights(w, self.side // 16)
        if self.family == "edge_tam":
            return edge_tam.EdgeTam(edge_tam.EdgeTamShape(self.side)), key_maps.edge_tam_weights
        sizes = sam2.Sam2Shape(sam2.Sam2Size(self.size), sam2.Sam2Version(self.version), self.side)
        return sam2.Sam2(sizes), key_maps.sam2_weights

    def _policy(self) -> MemoryPolicy:
        from delineate.memory.policies import EfficientFramePruning, Pruning, Window

        return EfficientFramePruning(version=Pruning(self.pruning)) if self.pruning else Window()
