"""How systems are built that name what they see; each system's own file says what makes it itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from delineate.models.variants import SamEncoder
from delineate.preprocess.profiles import Profile
from delineate.systems.adapted import AdaptedWeights, Renaming, require_torch_backend
from delineate.systems.building import SEED, needs_torch, record_of
from delineate.systems.system import BuildOptions

if TYPE_CHECKING:
    from torch import nn

    from delineate.checkpoints.reading import Weights
    from delineate.checkpoints.system_file import SystemCard
    from delineate.models.sam import SamShape
    from delineate.predictors.clip_classes import ClipClassPredictor

# A mask token a class, none of which the host has
TOKENS = (r"mask_decoder\.(iou_token|mask_tokens|output_hypernetworks_mlps|iou_prediction_head)\b",)

# and where a decoder enlarges 16 times, its last steps (the first two keep their shape, and SAM's weights)
UPSCALED = (*TOKENS, r"mask_decoder\.upscale_(conv[34]|layer_norm[23])\.")


@dataclass(frozen=True)
class ClassShaped:
    """A row: a network that outlines classes without a prompt.

    start    the system whose weights its host starts from
    make     from a shape, the number of classes and the variant to the network
    classes  their names, where a file does not say
    renamed  published names to the network's
    fresh    patterns of names that are the paper's own, which no host has
    remade   patterns of names that a host has in another shape
    dropped  patterns of the host's names that have no place here
    depth    frames that are seen together; windows overlap by half
    gray     the input has one channel, scaled over the clip
    resized  whether positions and relative positions of the host are resized for ``profile.side``
    tokens_beside  mask tokens of a published file that are no class's; None: their number says nothing of classes
    """

    name: str
    start: str
    license: str
    profile: Profile
    make: Callable[[SamShape, int, str], nn.Module]
    classes: tuple[str, ...]
    renamed: Renaming
    fresh: tuple[str, ...]
    remade: tuple[str, ...] = TOKENS
    dropped: tuple[str, ...] = ()
    encoder: SamEncoder = SamEncoder.VIT_B
    depth: int = 1
    gray: bool = False
    resized: bool = True
    tokens_beside: int | None = 1

    def build(self, options: BuildOptions) -> ClipClassPredictor:
        """The predictor, its weights from a file, from the kept ones, from the host's, or random."""
        needs_torch(self.name)
        import torch

        from delineate.compute.engine import Engine
        from delineate.predictors.clip_classes import ClipClassPredictor, prepared_frames, prepared_gray_clip

        require_torch_backend(self.name, options, "its parts are made as it runs")
        engine = Engine.chosen(options.device, options.precision, options.threads)
        files = self.files
        card = self.card(options)
        options = options if card is None else replace(options, variant=options.variant or card.variant)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network: Any = self.network(options.variant, card)
        sha256 = files.load(options, network.host)
        network.eval()
        engine.cast_weights(network.host.vision_encoder)
        profile = replace(self.profile, side=network.shape.side)
        record = record_of(self.name, sha256, self.license, profile.summary, engine, variant=options.variant)
        depth = (card.sizes.depth if card is not None and self.depth > 1 else None) or self.depth
        return ClipClassPredictor(
            network.to(engine.device), profile, engine, record, self.classes_of(card), depth, max(1, depth // 2),
            prepared_gray_clip if self.gray else prepared_frames,
        )  # fmt: skip

    def card(self, options: BuildOptions) -> SystemCard | None:
        """What the file says of itself; of a published one the number of its classes, if it is not the usual one.

        Raises ModelError if it is another system's.
        """
        return self.files.card(options) or self._card_of_shapes(options)

    @property
    def files(self) -> AdaptedWeights:
        """Where weights come from."""
        return AdaptedWeights(
            self.name, self.start, self._named, self._host_named, self.fresh, self.remade, self.dropped
        )

    def network(self, variant: str = "", card: SystemCard | None = None) -> nn.Module:
        """The network with weights as they begin."""
        from delineate.models.sam import shape_of

        shape = shape_of(self.encoder, self.profile.side, None if card is None else card.sizes)
        return self.make(shape, len(self.classes_of(card)), variant)

    def classes_of(self, card: SystemCard | None) -> tuple[str, ...]:
        return card.classes if card is not None and card.classes else self.classes

    def _named(self, weights: Weights) -> Weights:
        return self._at_size(self.renamed(weights))

    def _host_named(self, weights: Weights) -> Weights:
        from delineate.checkpoints.key_maps import sam_weights

        return self._at_size(sam_weights(weights))

    def _at_size(self, weights: Weights) -> Weights:
        """Positions for as many cells as the network has."""
        from delineate.checkpoints.key_maps import resized_sam
        from delineate.models.sam import VIT_SIZES

        table, cells = weights.get("vision_encoder.pos_embed"), self.profile.side // 16
        if not self.resized or table is None or table.ndim != 4 or table.shape[1] != 1024 // 16 or cells == 1024 // 16:
            return weights
        return resized_sam(weights, cells, VIT_SIZES[self.encoder].global_blocks)

    def _card_of_shapes(self, options: BuildOptions) -> SystemCard | None:
        """For a published file with the paper's parts, whose mask tokens alone say how many classes it has."""
        from delineate.checkpoints.reading import read_weights
        from delineate.checkpoints.system_file import SystemCard

        path = self.files.file(options)
        if path is None or self.tokens_beside is None:
            return None
        weights = self.renamed(read_weights(path))
        tokens = weights.get("mask_decoder.mask_tokens.weight")
        own = any(re.search(pattern, name) for name in weights for pattern in self.fresh)
        count = 0 if tokens is None or not own else len(tokens) - self.tokens_beside
        if count in (0, len(self.classes)):
            return None
        return SystemCard(system=self.name, classes=tuple(f"class {n + 1}" for n in range(count)))


def sam_names(weights: Weights) -> Weights:
    """SAM's published names to the network's."""
    from delineate.checkpoints.key_maps import sam_weights

    return sam_weights(weights)
