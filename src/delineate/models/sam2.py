"""SAM 2: Hiera, a feature pyramid, SAM's heads with an object score, and a memory of earlier frames.

Ravi et al., arXiv 2408.00714. The parts are those of ``transformers``; this class calls them one by one, so that a
tracker can batch objects, keep what it wants in memory, and train. It holds no state of any video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    PreTrainedConfig,
    Sam2HieraDetConfig,
    Sam2VideoConfig,
    Sam2VideoMaskDecoderConfig,
    Sam2VideoModel,
    Sam2VideoPromptEncoderConfig,
    Sam2VisionConfig,
)

from delineate.adapters.slots import NO_CONTEXT, SlotContext
from delineate.models.derived import Derived
from delineate.models.hosts import open_host
from delineate.models.sam import other_sizes
from delineate.models.sizes import HieraSizes, NetworkSizes
from delineate.models.variants import Sam2Size, Sam2Version

ABSENT = -1024.0  # logits of an object that is not on the frame
DRAWN_SCALE, DRAWN_BIAS = 20.0, -10.0  # logits of a mask prompt
FEEDBACK_LIMIT = 32.0  # logits fed back are clamped to this
TEMPERATURE = 10000.0  # of sine position encodings


@dataclass(frozen=True)
class HieraSize:
    """Sizes of the image encoder (table in sec. C.1 and the released configurations)."""

    width: int
    heads: int
    stages: tuple[int, int, int, int]
    global_blocks: tuple[int, ...]
    windows: tuple[int, int, int, int]
    background: int = 7  # side of the table of positions

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(self.width * 2**n for n in range(4))


HIERA_SIZES = {
    Sam2Size.TINY: HieraSize(96, 1, (1, 2, 7, 2), (5, 7, 9), (8, 4, 14, 7)),
    Sam2Size.SMALL: HieraSize(96, 1, (1, 2, 11, 2), (7, 10, 13), (8, 4, 14, 7)),
    Sam2Size.BASE_PLUS: HieraSize(112, 2, (2, 3, 16, 3), (12, 16, 20), (8, 4, 14, 7), 14),
    Sam2Size.LARGE: HieraSize(144, 2, (2, 6, 36, 4), (23, 33, 43), (8, 4, 16, 8)),
}


@dataclass(frozen=True)
class Sam2Shape:
    """What is needed to build a SAM 2.

    side     pixels along a side of the input
    hiera    another size of encoder than ``size`` has
    """

    size: Sam2Size = Sam2Size.TINY
    version: Sam2Version = Sam2Version.V2_1
    side: int = 1024
    hiera: HieraSize | None = None

    patch = 16  # input pixels along a side of one cell of the coarsest map

    @property
    def cells(self) -> int:
        """Cells along a side of the coarsest map."""
        return self.side // self.patch

    @property
    def sizes(self) -> NetworkSizes:
        """As a file says them."""
        return NetworkSizes(side=self.side, hiera=None if self.hiera is None else HieraSizes(**asdict(self.hiera)))

    def of(self, sizes: NetworkSizes | None) -> Sam2Shape:
        """The same in the sizes that a file says. Raises ModelError for sizes of another kind of encoder."""
        if sizes is None or sizes.is_published:
            return replace(self, side=(sizes and sizes.side) or self.side)
        if sizes.hiera is None:
            raise other_sizes(f"sam{self.version}_{self.size}")
        return replace(self, side=sizes.side or self.side, hiera=HieraSize(**sizes.hiera.model_dump()))


@dataclass(frozen=True, eq=False)
class Sam2Maps:
    """A frame as the network sees it.

    coarse  (1, 256, f, f), without memory of other frames
    fine    (1, 32, 4 f, 4 f) and (1, 64, 2 f, 2 f), already projected for the mask decoder
    places  (1, 256, f, f), sine position encoding of the coarse map
    """

    coarse: Tensor
    fine: tuple[Tensor, Tensor]
    places: Tensor

    @property
    def shape(self) -> torch.Size:
        """Of the coarse map, where SAM has its embedding."""
        return self.coarse.shape

    def __getitem__(self, rows: Tensor | slice) -> Sam2Maps:
        """Some frames of several that were embedded together."""
        return Sam2Maps(self.coarse[rows], (self.fine[0][rows], self.fine[1][rows]), self.places)

    def repeat_interleave(self, repeats: int, dim: Literal[0] = 0) -> Sam2Maps:
        """Each frame so many times, as of a tensor."""
        coarse, *fine = (one.repeat_interleave(repeats, dim) for one in (self.coarse, *self.fine))
        return Sam2Maps(coarse, (fine[0], fine[1]), self.places)

    def float(self) -> Sam2Maps:
        return Sam2Maps(self.coarse.float(), (self.fine[0].float(), self.fine[1].float()), self.places.float())


@dataclass(frozen=True, eq=False)
class Sam2Decoding:
    """What the heads say of O objects on a frame.

    logits   (O, K, 4 f, 4 f); K is 3 or 1
    iou      (O, K)
    pointers (O, 256) of the outline with the greatest predicted IoU
    present  (O, 1) logit of the object being on the frame at all
    """

    logits: Tensor
    iou: Tensor
    pointers: Tensor
    present: Tensor

    @property
    def best(self) -> Tensor:
        """Logits (O, 1, 4 f, 4 f) of the outline with the greatest predicted IoU."""
        chosen = self.iou.argmax(dim=1)
        return self.logits[torch.arange(len(chosen), device=chosen.device), chosen][:, None]

    @property
    def best_iou(self) -> Tensor:
        return self.iou.max(dim=1).values


def joined(answers: Sequence[Sam2Decoding]) -> Sam2Decoding:
    """Answers for some objects each as one for all of them."""
    if len(answers) == 1:
        return answers[0]
    return Sam2Decoding(*(torch.cat([getattr(a, f.name) for a in answers]) for f in fields(Sam2Decoding)))


class Sam2(nn.Module):
    """``embed`` a frame; ``with_memory`` or ``without_memory``; ``decode`` prompts; ``remember``."""

    def __init__(self, shape: Sam2Shape | None = None, host: nn.Module | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or Sam2Shape()
        self.host: Any = host if host is not None else Sam2VideoModel(host_config(shape))
        open_host(self.host)
        self._cells = Derived()
        self._memory_cells = Derived()

    @property
    def side(self) -> int:
        return self.shape.side

    def embed(self, pixels: Tensor, context: SlotContext = NO_CONTEXT) -> Sam2Maps:
        """Prepared pixels (1, 3, side, side) -> maps at strides 4, 8 and 16. ``context``: what adapters may ask for."""
        encoded = self.host.vision_encoder(pixels, context=context)
        maps, places = list(encoded.fpn_hidden_states), encoded.fpn_position_encoding
        decoder = self.host.mask_decoder
        return Sam2Maps(maps[-1], (decoder.conv_s0(maps[0]), decoder.conv_s1(maps[1])), places[-1])

    def without_memory(self, maps: Sam2Maps) -> Tensor:
        """The coarse map (1, 256, f, f) for a frame on which nothing is remembered."""
        return maps.coarse + self.host.no_memory_embedding.view(1, -1, 1, 1)

    def with_memory(
        self,
        maps: Sam2Maps,
        memory: Tensor,
        places: Tensor,
        frames: int,
        pointers: int,
        context: SlotContext = NO_CONTEXT,
    ) -> Tensor:
        """The coarse map of each object given its memory: (O, 256, f, f).

        memory    (O, T, 64): tokens of ``frames`` remembered maps, then ``pointers`` tokens of object pointers
        places    (O, T, 64), their position and time
        """
        grid = (maps.coarse.shape[-2], maps.coarse.shape[-1])
        conditioned = self.host.memory_attention(
            current_vision_features=maps.coarse.flatten(2).permute(2, 0, 1),
            current_vision_position_embeddings=maps.places.flatten(2).permute(2, 0, 1),
            memory=memory.transpose(0, 1),
            memory_posision_embeddings=places.transpose(0, 1),
            num_object_pointer_tokens=pointers,
            context=replace(context, grid=grid),
            **self._attention_options(frames),
        )
        return conditioned[0].transpose(1, 2).reshape(memory.shape[0], -1, *grid)

    def _attention_options(self, frames: int) -> dict[str, int]:
        """What else the host's memory attention wants to know."""
        return {}

    def decode(
        self,
        coarse: Tensor,
        maps: Sam2Maps,
        points: Tensor | None,
        labels: Tensor | None,
        masks: Tensor | None = None,
        multimask: bool = True,
        context: SlotContext = NO_CONTEXT,
        gated: bool = True,
    ) -> Sam2Decoding:
        """Outline O objects.

        coarse  (O, 256, f, f) or (1, 256, f, f)
        points  (O, N, 2) in input pixels; labels (O, N): 1, 0, -1 padding, 2 and 3 the corners of a box. None: the
                tokens of an unprompted frame, as the video predictor has them; N = 0: no tokens at all, as
                the image predictor takes a mask prompt alone
        masks   logits (O, 1, 4 f, 4 f) of the answer before, or None
        gated   nothing is outlined where the object score says that it is not there: in videos, not on single images
        """
        count = max(len(coarse), 1 if points is None else len(points), 1 if masks is None else len(masks))
        if points is None or labels is None:
            points = coarse.new_zeros(count, 1, 2)
            labels = torch.full((count, 1), -1, dtype=torch.int32, device=coarse.device)
        sparse, dense = self.host.prompt_encoder(points[:, None], labels[:, None].int(), None, masks)
        tokens = sparse[:, 0] if points.shape[1] else sparse[:, 0, :0]
        return self.decode_tokens(coarse, maps, tokens, dense, multimask, context, gated)

    def decode_tokens(
        self,
        coarse: Tensor,
        maps: Sam2Maps,
        sparse: Tensor,
        dense: Tensor,
        multimask: bool,
        context: SlotContext = NO_CONTEXT,
        gated: bool = True,
    ) -> Sam2Decoding:
        """The same from encoded prompts: ``sparse`` (O, N, 256) and ``dense`` (O or 1, 256, f, f)."""
        found = self.host.mask_decoder(
            image_embeddings=coarse,
            image_positional_embeddings=self._grid(coarse),
            sparse_prompt_embeddings=sparse[:, None],
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            high_resolution_features=maps.fine,
            context=context,
        )
        logits, iou, tokens, present = (one[:, 0] for one in found)
        there = present > 0
        if gated:
            logits = torch.where(there[..., None, None], logits, logits.new_tensor(ABSENT))
        best = iou.argmax(dim=1).view(-1, 1, 1).expand(-1, 1, tokens.shape[-1])
        token = tokens.gather(1, best)[:, 0] if multimask and tokens.shape[1] > 1 else tokens[:, 0]
        return Sam2Decoding(logits, iou, self._pointers(token, there), present)

    def drawn(self, maps: Sam2Maps, masks: Tensor) -> Sam2Decoding:
        """Outlines a person gave, (O, 1, side, side) 0 or 1, as an answer: taken as they are, and prompted."""
        there = masks.flatten(1).any(dim=1, keepdim=True)
        high = masks * DRAWN_SCALE + DRAWN_BIAS
        low = F.interpolate(high, scale_factor=0.25, mode="bilinear", antialias=True)
        seen = self.decode(maps.coarse, maps, None, None, self.host.mask_downsample(masks), multimask=False)
        pointers = torch.where(there, seen.pointers, self.host.no_object_pointer.to(seen.pointers.dtype))
        present = there.to(high.dtype) * DRAWN_SCALE + DRAWN_BIAS
        return Sam2Decoding(low, high.new_ones(len(masks), 1), pointers, present)

    def remember(self, maps: Sam2Maps, logits: Tensor, present: Tensor, binary: Tensor) -> Tensor:
        """Memories (O, T, 64) of outlines on a frame, T = f².

        logits   (O, 1, 4 f, 4 f)
        present  (O, 1)
        binary   bool (O,): outlines on prompted frames are remembered as black and white
        """
        config = self.host.config
        high = F.interpolate(logits.float(), size=(self.side, self.side), mode="bilinear", align_corners=False)
        mask = torch.where(binary.view(-1, 1, 1, 1), (high > 0).to(high.dtype), high.sigmoid())
        mask = mask * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
        encoder = self.host.memory_encoder
        seen = encoder.feature_projection(maps.coarse)  # of the frame, the same for all objects
        memory = encoder.projection(encoder.memory_fuser(seen + encoder.mask_downsampler(mask.to(maps.coarse.dtype))))
        hidden = getattr(self.host, "occlusion_spatial_embedding_parameter", None)
        if hidden is not None:
            memory = memory + (present <= 0).to(memory.dtype)[..., None, None] * hidden[..., None, None]
        return self._compressed(memory)

    def _compressed(self, memory: Tensor) -> Tensor:
        """Maps (O, 64, f, f) as tokens (O, T, 64)."""
        return memory.flatten(2).transpose(1, 2)

    def memory_places(self, maps: Sam2Maps) -> Tensor:
        """Position encoding (T, 64) of the tokens of one memory."""
        f, device = maps.coarse.shape[-1], maps.coarse.device

        def made() -> Tensor:
            return self.host.memory_encoder.position_encoding((1, 64, f, f), device, torch.float32).flatten(2)[0].T

        return self._memory_cells.get(made, key=(f, device))

    def time_of_memory(self, slot: int) -> Tensor:
        """Learned encoding (64,) of a memory ``slot`` frames away; 0 for prompted frames."""
        return self.host.memory_temporal_positional_encoding[slot - 1].view(-1)

    def time_of_pointers(self, distances: Tensor, longest: int) -> Tensor:
        """Encoding (P, 64) of object pointers ``distances`` (P,) frames away; zero in SAM 2.0."""
        config = self.host.config
        if not config.enable_temporal_pos_encoding_for_object_pointers:
            return distances.new_zeros(len(distances), 64)
        return self.host.temporal_positional_encoding_projection_layer(_sine(distances / longest, 256))

    def _pointers(self, token: Tensor, there: Tensor) -> Tensor:
        pointer = self.host.object_pointer_proj(token)
        return torch.where(there, pointer, self.host.no_object_pointer.to(pointer.dtype))

    def _grid(self, coarse: Tensor) -> Tensor:
        """The position of every cell, encoded: (1, 256, f, f)."""
        f, embedding = coarse.shape[-1], self.host.shared_image_embedding

        def made() -> Tensor:
            centers = (torch.arange(f, device=coarse.device, dtype=torch.float32) + 0.5) / f
            y, x = torch.meshgrid(centers, centers, indexing="ij")
            return embedding(torch.stack([x, y], dim=-1)).permute(2, 0, 1)[None].contiguous()

        return self._cells.get(made, embedding.positional_embedding, key=(f, coarse.device))


def _sine(values: Tensor, width: int) -> Tensor:
    """Sine encoding (N, width) of numbers (N,)."""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=values.device)
    angles = values[:, None] / TEMPERATURE ** (2 * (steps // 2) / half)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def host_config(shape: Sam2Shape, vision: PreTrainedConfig | None = None) -> Sam2VideoConfig:
    """The host's configuration; every size that depends on the input's side is set."""
    f = shape.cells
    return Sam2VideoConfig(
        vision_config=vision or vision_config(shape),
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(image_size=shape.side),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(),
        image_size=shape.side,
        memory_attention_rope_feat_sizes=[f, f],
        enable_occlusion_spatial_embedding=shape.version is Sam2Version.V2_1,
        enable_temporal_pos_encoding_for_object_pointers=shape.version is Sam2Version.V2_1,
    )


def vision_config(shape: Sam2Shape) -> Sam2VisionConfig:
    """The host's configuration of Hiera and its feature pyramid."""
    size = shape.hiera or HIERA_SIZES[shape.size]
    f = shape.cells
    backbone = Sam2HieraDetConfig(
        hidden_size=size.width,
        num_attention_heads=size.heads,
        image_size=[shape.side, shape.side],
        blocks_per_stage=list(size.stages),
        embed_dim_per_stage=list(size.widths),
        num_attention_heads_per_stage=[size.heads * 2**n for n in range(4)],
        window_size_per_stage=list(size.windows),
        global_attention_blocks=list(size.global_blocks),
        window_positional_embedding_background_size=[size.background, size.background],
    )
    return Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=list(reversed(size.widths)),
        backbone_feature_sizes=[[4 * f, 4 * f], [2 * f, 2 * f], [f, f]],
    )
