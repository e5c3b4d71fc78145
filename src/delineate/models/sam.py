"""SAM: a ViT encoder, a prompt encoder and a two-way mask decoder (Kirillov et al., arXiv 2304.02643 sec. 3).

The parts are those of ``transformers``; here they get the sizes of every SAM-shaped system, and one way to be called:
an image is embedded once, then any number of objects is decoded from the embedding, objects along the batch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

from delineate.adapters.slots import NO_CONTEXT, SlotContext
from delineate.core.errors import ModelError
from delineate.models.cells import Cells
from delineate.models.derived import Derived
from delineate.models.hosts import open_host
from delineate.models.sizes import NetworkSizes, VitSizes
from delineate.models.tiny_vit import LITE, MOBILE, NARROW, TinyViT
from delineate.models.variants import SamEncoder

ALL_CELLS = Cells()
NATIVE_EPS = 1e-5  # of the decoder's layer norms; the host's default of 1e-6 gives other masks (7e-5 in the IoU)


@dataclass(frozen=True)
class VitSize:
    """Width, depth, heads and the blocks with attention over the whole image."""

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]


TINY_VITS = {SamEncoder.TINY_VIT: MOBILE, SamEncoder.TINY_VIT_LITE: LITE, SamEncoder.TINY_VIT_NARROW: NARROW}
VIT_SIZES = {
    SamEncoder.VIT_B: VitSize(768, 12, 12, (2, 5, 8, 11)),
    SamEncoder.VIT_L: VitSize(1024, 24, 16, (5, 11, 17, 23)),
    SamEncoder.VIT_H: VitSize(1280, 32, 16, (7, 15, 23, 31)),
}


@dataclass(frozen=True)
class SamShape:
    """What is needed to build a SAM-shaped network.

    encoder  which image encoder
    side     pixels along a side of the input
    size     another size of ViT than the encoder's own (for tests)
    masks    mask tokens beside the first
    placed   whether a ViT has a table of positions and relative positions
    """

    encoder: SamEncoder = SamEncoder.VIT_B
    side: int = 1024
    size: VitSize | None = None
    masks: int = 3
    placed: bool = True

    @property
    def patch(self) -> int:
        """Input pixels along a side of one cell of the embedding."""
        tiny = TINY_VITS.get(self.encoder)
        return 4 if tiny is not None and tiny.stem_kernel == 1 else 16

    @property
    def sizes(self) -> NetworkSizes:
        """As a file says them; ``shape_of`` is the way back."""
        return NetworkSizes(side=self.side, vit=None if self.size is None else VitSizes(**asdict(self.size)))


def shape_of(encoder: SamEncoder, side: int, sizes: NetworkSizes | None = None) -> SamShape:
    """The published shape of an encoder, or another that ``sizes`` of a file give.

    Raises ModelError for sizes of another kind of encoder.
    """
    if sizes is None or sizes.is_published:
        return SamShape(encoder, (sizes and sizes.side) or side)
    if sizes.vit is None or encoder not in VIT_SIZES:
        raise other_sizes(encoder)
    return SamShape(encoder, sizes.side or side, VitSize(**sizes.vit.model_dump()))


def other_sizes(encoder: str) -> ModelError:
    """Of a network that cannot have the sizes it is asked to have."""
    return ModelError("E-MODEL-BEGUN", f"{encoder} has no such sizes.", "Leave --narrow out.")


@dataclass(frozen=True, eq=False)
class SamPrompts:
    """Prompts of O objects on one image, in pixels of the network's input.

    points  float (O, N, 2), x and y, or None
    labels  int (O, N): 1 on the object, 0 not on it, -1 padding
    boxes   float (O, 4), or None
    masks   logits (O, 1, 4 f, 4 f) for an embedding of f x f cells, or None
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None

    @property
    def count(self) -> int:
        return next((len(t) for t in (self.points, self.boxes, self.masks) if t is not None), 1)


class Sam(nn.Module):
    """``embed`` an image, then ``decode`` prompts. ``host`` holds the parts under the host library's key names."""

    def __init__(self, shape: SamShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or SamShape()
        tiny = TINY_VITS.get(shape.encoder)
        self.host = SamModel(_config(shape))
        if tiny is not None:
            self.host.vision_encoder = TinyViT(tiny)  # type: ignore[assignment]
        open_host(self.host)
        self._cells = Derived()
        for parameter in (
            self.host.shared_image_embedding.positional_embedding,
            self.host.prompt_encoder.shared_embedding.positional_embedding,
        ):
            parameter.requires_grad_(False)  # fixed random frequencies, a buffer in the original

    def embed(self, pixels: Tensor, context: SlotContext = NO_CONTEXT) -> Tensor:
        """Prepared pixels (B, 3, side, side) -> embedding (B, 256, f, f). ``context``: what adapters may ask for."""
        encoded = self.host.vision_encoder(pixels, context=context)
        return encoded if isinstance(encoded, Tensor) else encoded[0]

    def decode(
        self,
        embedding: Tensor,
        prompts: SamPrompts,
        multimask: bool,
        context: SlotContext = NO_CONTEXT,
        cells: Cells = ALL_CELLS,
    ) -> tuple[Tensor, Tensor]:
        """Outline objects.

        embedding (1, 256, f, f), shared by all objects, or (O, 256, f, f), one an object. Returns logits
        (O, 3 or 1, 4 f, 4 f) and the predicted IoU (O, 3 or 1). Where only some ``cells`` are decoded, the prompts'
        masks and the logits are of those.
        """
        sparse, dense = self.prompt_tokens(prompts)
        if prompts.masks is None:
            dense = cells.of(dense)
        return self._heads(embedding, sparse, dense, multimask, context, cells)

    def prompt_tokens(self, prompts: SamPrompts) -> tuple[Tensor | None, Tensor]:
        """Encoded prompts: sparse (O, 1, T, 256), None where there are none, and dense (O or 1, 256, f, f)."""
        return self.host.prompt_encoder(
            input_points=None if prompts.points is None else prompts.points[:, None],
            input_labels=None if prompts.labels is None else prompts.labels[:, None],
            input_boxes=None if prompts.boxes is None else prompts.boxes[:, None],
            input_masks=prompts.masks,
        )

    def decode_tokens(
        self, embedding: Tensor, tokens: Tensor, multimask: bool, context: SlotContext = NO_CONTEXT
    ) -> tuple[Tensor, Tensor]:
        """The same from prompt tokens (O, T, 256) made elsewhere, such as words."""
        dense = self.host.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return self.decode_encoded(embedding, tokens, dense.expand(-1, -1, *embedding.shape[-2:]), multimask, context)

    def decode_encoded(
        self,
        embedding: Tensor,
        sparse: Tensor,
        dense: Tensor,
        multimask: bool | None,
        context: SlotContext = NO_CONTEXT,
    ) -> tuple[Tensor, Tensor]:
        """The same from encoded prompts: ``sparse`` (O, T, 256) and ``dense`` (O or 1, 256, f, f).

        ``multimask`` None: all four outlines, the single answer first.
        """
        return self._heads(embedding, sparse[:, None], dense, multimask, context)

    def _heads(
        self,
        embedding: Tensor,
        sparse: Tensor | None,
        dense: Tensor,
        multimask: bool | None,
        context: SlotContext,
        cells: Cells = ALL_CELLS,
    ) -> tuple[Tensor, Tensor]:
        masks, iou = self.host.mask_decoder(
            image_embeddings=cells.of(embedding),
            image_positional_embeddings=cells.of(self._places(embedding)),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            context=context,
        )
        return masks[:, 0], iou[:, 0]

    def _places(self, embedding: Tensor) -> Tensor:
        """The position of every cell, encoded: (1, 256, f, f)."""
        f, encoding = embedding.shape[-1], self.host.shared_image_embedding

        def made() -> Tensor:
            centers = (torch.arange(f, device=embedding.device, dtype=torch.float32) + 0.5) / f
            y, x = torch.meshgrid(centers, centers, indexing="ij")
            return encoding(torch.stack([x, y], dim=-1)).permute(2, 0, 1)[None].contiguous()

        return self._cells.get(made, encoding.positional_embedding, key=(f, embedding.device)).to(embedding.dtype)


def _config(shape: SamShape) -> SamConfig:
    size = shape.size or VIT_SIZES.get(shape.encoder, VitSize(8, 1, 1, ()))  # a placeholder where TinyViT comes
    vision = SamVisionConfig(
        hidden_size=size.width,
        num_hidden_layers=size.depth,
        num_attention_heads=size.heads,
        global_attn_indexes=list(size.global_blocks),
        image_size=shape.side,
        mlp_dim=4 * size.width,
        initializer_range=0.02,
        num_pos_feats=128,
        use_abs_pos=shape.placed,
        use_rel_pos=shape.placed,
    )
    return SamConfig(
        vision_config=vision,
        prompt_encoder_config=SamPromptEncoderConfig(image_size=shape.side, patch_size=shape.patch),
        mask_decoder_config=SamMaskDecoderConfig(layer_norm_eps=NATIVE_EPS, num_multimask_outputs=shape.masks),
        initializer_range=0.02,
    )
