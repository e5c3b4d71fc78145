"""EfficientTAM: SAM 2 with a plain small ViT and cheaper attention to memories (Xiong et al., arXiv 2411.18933).

One map at stride 16, no finer ones. Variants 1 and 2 average the keys and values of every remembered map over
2 x 2 places; how they make up for it differs (sec. 3.3 and the released code).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Sam2VideoModel, SamVisionConfig, SamVisionModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoPositionEmbeddingSine

from delineate.adapters.slots import NO_CONTEXT, SlotContext
from delineate.models.memory_attention import Rotation, Sam2TurnedAttention
from delineate.models.sam import VitSize
from delineate.models.sam2 import Sam2, Sam2Maps, Sam2Shape, host_config
from delineate.models.variants import CrossAttention, Sam2Version, TamSize

POOL = 2
MADE_UP = 2 * math.log(POOL)  # four places speak through one


TAM_SIZES = {TamSize.TINY: VitSize(192, 12, 3, (2, 5, 8, 11)), TamSize.SMALL: VitSize(384, 12, 6, (2, 5, 8, 11))}


@dataclass(frozen=True)
class TamShape:
    """size, attention to memories, pixels along a side; ``vit`` another size of encoder (for tests)."""

    size: TamSize = TamSize.TINY
    attention: CrossAttention = CrossAttention.FULL
    side: int = 1024
    vit: VitSize | None = None


class PooledCrossAttention(Sam2TurnedAttention):
    """Attention to memories whose maps are averaged over 2 x 2 places, where there is more than one of them."""

    variant = CrossAttention.POOLED_1

    def mixed(self, q: Tensor, k: Tensor, value: Tensor, of_key: Rotation) -> Tensor:
        v, places = self.v_proj(value), q.shape[1]
        mapped = k.shape[1] - (of_key.pointers or 0)
        bias = None
        if mapped > places:
            maps, side = mapped // places, math.isqrt(places)
            k_map, v_map = (_averaged(t[:, :mapped], maps, side) for t in (k, v))
            if self.variant is CrossAttention.POOLED_2:
                k_map = k_map + MADE_UP
            else:
                bias = q.new_zeros(1, 1, k_map.shape[1] + k.shape[1] - mapped)
                bias[..., : k_map.shape[1]] = MADE_UP
                bias = bias.expand(*q.shape[:2], -1)
            k, v = torch.cat([k_map, k[:, mapped:]], dim=1), torch.cat([v_map, v[:, mapped:]], dim=1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.scaling)


class PooledCrossAttention2(PooledCrossAttention):
    variant = CrossAttention.POOLED_2


def _averaged(tokens: Tensor, maps: int, side: int) -> Tensor:
    """Tokens (B, maps * side², C), averaged over 2 x 2 places of each map."""
    b, _, c = tokens.shape
    grid = tokens.reshape(b * maps, side, side, c).permute(0, 3, 1, 2)
    small = F.avg_pool2d(grid, POOL)
    return small.permute(0, 2, 3, 1).reshape(b, -1, c)


class EfficientTam(Sam2):
    """A SAM 2 with a plain ViT; everything after ``embed`` is SAM 2's."""

    def __init__(self, shape: TamShape | None = None) -> None:
        shape = shape or TamShape()
        size = shape.vit or TAM_SIZES[shape.size]
        sam2 = Sam2Shape(version=Sam2Version.V2_0, side=shape.side)
        host = Sam2VideoModel(host_config(sam2))
        host.vision_encoder = SamVisionModel(
            SamVisionConfig(
                hidden_size=size.width,
                num_hidden_layers=size.depth,
                num_attention_heads=size.heads,
                global_attn_indexes=list(size.global_blocks),
                image_size=shape.side,
                mlp_dim=4 * size.width,
                use_rel_pos=False,
                initializer_range=0.02,
            )
        ).vision_encoder
        del host.mask_decoder.conv_s0, host.mask_decoder.conv_s1
        super().__init__(sam2, host)
        self.tam = shape
        self.sine = Sam2VideoPositionEmbeddingSine(num_position_features=128, normalize=True)
        pooled = {CrossAttention.POOLED_1: PooledCrossAttention, CrossAttention.POOLED_2: PooledCrossAttention2}
        if shape.attention in pooled:
            for layer in host.memory_attention.layers:
                layer.cross_attn_image.__class__ = pooled[shape.attention]

    def embed(self, pixels: Tensor, context: SlotContext = NO_CONTEXT) -> Sam2Maps:
        """Prepared pixels (1, 3, side, side) -> the map at stride 16; the finer ones are zero."""
        coarse = self.host.vision_encoder(pixels, context=context)[0]
        f = coarse.shape[-1]
        fine = (coarse.new_zeros(1, 32, 4 * f, 4 * f), coarse.new_zeros(1, 64, 2 * f, 2 * f))
        return Sam2Maps(coarse, fine, self.sine(coarse.shape, coarse.device, coarse.dtype))
