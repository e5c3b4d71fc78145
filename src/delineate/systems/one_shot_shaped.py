"""How one-shot systems are built: an encoder of features, prototypes, and the promptable model behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from delineate.checkpoints.store import cached_path
from delineate.fewshot.features import EncoderExtractor
from delineate.models.variants import DinoVariant, PositionInterpolation
from delineate.systems.building import SEED, loaded, needs_torch, record_of
from delineate.systems.layout import CheckpointLayout
from delineate.systems.one_shot import OneShotOptions, OneShotPredictor
from delineate.systems.sam_shaped import SamShaped
from delineate.systems.system import BuildOptions
from delineate.systems.token_features import Normalization, TokenExtractor

if TYPE_CHECKING:
    from torch import nn

    from delineate.checkpoints.reading import Weights
    from delineate.models.deeplab import DeepLabShape
    from delineate.models.dino import DinoShape

DINO_FILES = "dinov2_ssl"  # the name under which DINOv2's file is kept for all systems on it
DINOV2_LAYOUT = CheckpointLayout(
    "DINOv2", {"patch_embed.proj.weight": (None, 3, 14, 14)}, holds=("attn.qkv.weight",), lacks=("mask_decoder.",),
    file_names=("dinov2",),
)  # fmt: skip
DEEPLAB_LAYOUT = CheckpointLayout(
    "SSL-ALPNet",
    {"encoder.backbone.conv1.weight": (64, 3, 7, 7), "encoder.localconv.weight": (256, 2048, 1, 1)},
    file_names=("alpnet",),
)


@dataclass(frozen=True)
class OneShotShaped:
    """What a one-shot system needs to be built.

    side       pixels along a side of what the encoder is given
    encoder    its size where there is no file to tell; None: DeepLab's trunk
    refiner    the promptable model, if there is one; its weights are those that are kept under its own name
    positions  how DINOv2's table is resized
    variants   what else it can be built as
    size       another size of the encoder than the published one (for tests)
    own_features  the promptable model's embedding is compared, and there is no other encoder
    """

    name: str
    license: str
    side: int
    encoder: DinoVariant | None = DinoVariant.V2_L
    refiner: SamShaped | None = None
    options: OneShotOptions = field(default_factory=OneShotOptions)
    normalize: Normalization = Normalization.ZSCORE
    positions: PositionInterpolation = PositionInterpolation.OFFSET
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    size: DinoShape | DeepLabShape | None = None
    own_features: bool = False

    def build(self, options: BuildOptions) -> OneShotPredictor:
        """The predictor: features from a file, from the kept one, or from random weights."""
        needs_torch(self.name)
        return replace(self, **self.variants.get(options.variant, {}))._built(options)

    def _built(self, options: BuildOptions) -> OneShotPredictor:
        from delineate.compute.engine import Engine

        if self.own_features:
            return self._of_refiner(options)
        engine = Engine.chosen(options.device, options.precision, options.threads)
        kept = self.name if self.encoder is None or cached_path(self.name) is not None else DINO_FILES
        host, sha256 = self._host(kept, options)
        host.to(engine.device)
        network = host.vision_encoder
        engine.cast_weights(network)
        record = record_of(self.name, sha256, self.license, self.profile, engine, variant=options.variant)
        extractor = TokenExtractor(self.name, network, self.side, engine, self.normalize)
        refiner = None
        if self.refiner is not None:
            refiner = self.refiner.build(replace(options, checkpoint=None, adapter=None, variant=""))
            record = record.model_copy(
                update={"preprocessing": f"{record.preprocessing}; outlined by {refiner.record.name} "
                        f"({refiner.record.sha256[:16]})"}
            )  # fmt: skip
        return OneShotPredictor(extractor, refiner, self.options, record, host)

    def _of_refiner(self, options: BuildOptions) -> OneShotPredictor:
        """The promptable model's own embedding is what is compared."""
        assert self.refiner is not None
        refiner = self.refiner.build(replace(options, variant=""))
        record = refiner.record.model_copy(update={"name": self.name, "variant": options.variant})
        return OneShotPredictor(EncoderExtractor(refiner), refiner, self.options, record)

    @property
    def built_from(self) -> tuple[str, ...]:
        """The systems whose files it needs."""
        features = () if self.own_features else (self.name if self.encoder is None else DINO_FILES,)
        return (*features, *(() if self.refiner is None else (self.refiner.name,)))

    @property
    def profile(self) -> str:
        """One line for cards and manifests."""
        if self.own_features and self.refiner is not None:
            return f"features of {self.refiner.name}; scores enlarged to the frame"
        kind = "DeepLab trunk" if self.encoder is None else f"DINO, positions {self.positions}"
        return f"{self.side} px, squared; {self.normalize}; {kind}; scores enlarged to the frame"

    def _host(self, kept: str, options: BuildOptions) -> tuple[Any, str]:
        import torch
        from torch import nn

        from delineate.checkpoints.reading import read_weights

        path = options.weights_of(kept)
        native = {} if path is None else read_weights(path)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            encoder = self._network(native)
        holder = nn.Module()
        holder.vision_encoder = encoder
        _, sha256 = loaded(kept, options, holder, holder, lambda weights: self._named(encoder, weights))
        return holder.eval(), sha256

    def _network(self, native: Weights) -> nn.Module:
        from delineate.models.deeplab import DeepLabEncoder, DeepLabShape
        from delineate.models.dino import DINO_SHAPES, DinoEncoder

        if self.encoder is None:
            from delineate.checkpoints.key_maps import deeplab_shape

            assert self.size is None or isinstance(self.size, DeepLabShape)
            return DeepLabEncoder(deeplab_shape(native) if native else self.size)
        shape: Any = self.size or DINO_SHAPES[self.encoder]
        if native:
            from delineate.checkpoints.dino_key_maps import dino_shape

            found = dino_shape(native)
            shape = replace(found, heads=shape.heads) if self.size is not None else found
        return DinoEncoder(shape, self.positions)

    def _named(self, encoder: Any, weights: Weights) -> Weights:
        from delineate.checkpoints.dino_key_maps import dino_weights
        from delineate.checkpoints.key_maps import alpnet_weights

        if self.encoder is None:
            return {f"vision_encoder.{key}": value for key, value in alpnet_weights(weights).items()}
        named = dino_weights(weights, encoder.shape.rotary)
        return {f"vision_encoder.host.{key}": value for key, value in named.items()}
