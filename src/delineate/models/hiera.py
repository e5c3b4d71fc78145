"""Hiera and its feature pyramid, open to adapters, without what is the same on every frame.

Parameters and key names stay those of ``transformers``, results too up to rounding.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.sam2.modeling_sam2 import (
    Sam2FeedForward,
    Sam2HieraDetModel,
    Sam2HieraDetModelOutput,
    Sam2MultiScaleAttention,
    Sam2MultiScaleBlock,
    Sam2VisionEncoderOutput,
    Sam2VisionModel,
    Sam2VisionNeck,
    do_pool,
)

from delineate.adapters.slots import NO_CONTEXT, EncoderSlot, Replaced, Slot, SlotContext, Slotted
from delineate.models.attention import attend
from delineate.models.derived import Derived, untouched
from delineate.models.linear import fed_forward
from delineate.models.windows import cut, joined, overhangs

Maps = tuple[Tensor, ...]


class HieraAttention(Sam2MultiScaleAttention):
    """(B, H, W, C) -> (B, H', W', C'), queries pooled where a stage begins."""

    def forward(self, hidden_states: Tensor, pooled: bool = True, **_: object) -> Tensor:
        """``pooled``: whether queries are pooled where a stage begins; of lines through slices they are not."""
        return self.proj(self.mixed(self.qkv(hidden_states), pooled))

    def in_windows(self, x: Tensor, window: int, sides: tuple[int, int]) -> Tensor:
        """The same in each window of a map, for an answer of so many rows and columns.

        Windows that reach beyond the map see zeros there, as published. Here only the map's own tokens are projected.
        """
        nothing = self.qkv(x.new_zeros(1, x.shape[3]))[0]
        return self.proj(joined(self.mixed(cut(self.qkv(x), window, nothing)), sides))

    def mixed(self, qkv: Tensor, pooled: bool = True) -> Tensor:
        """softmax(q k') v of a map (B, H, W, 3 C')."""
        b, h, w = qkv.shape[:3]
        heads = self.num_attention_heads
        q, k, v = qkv.view(b, h * w, 3, heads, -1).unbind(2)
        if self.query_stride and pooled:
            q = F.max_pool2d(q.reshape(b, h, w, -1).permute(0, 3, 1, 2), self.query_stride, self.query_stride)
            h, w = q.shape[-2:]
            q = q.permute(0, 2, 3, 1).reshape(b, h * w, heads, -1)
        mixed = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return mixed.transpose(1, 2).reshape(b, h, w, -1)


class HieraFeedForward(Sam2FeedForward):
    """Tokens (..., C) -> the same."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        if self.layers or self.sigmoid_output:
            return super().forward(hidden_states)
        return fed_forward(hidden_states, self.proj_in, self.activation, self.proj_out)


class HieraBlock(Slotted, Sam2MultiScaleBlock):
    """(B, H, W, C) -> the same, or half the sides and twice the channels where a stage begins."""

    query_stride: Any

    @property
    def window(self) -> int:  # type: ignore[override]
        return self.window_size

    def widths(self, slot: StrEnum) -> tuple[int, int]:
        before = slot in (Slot.BEFORE, Slot.ATTENTION_INPUT, Slot.ATTENTION, Slot.ATTENTION_PARALLEL)
        after = slot not in (Slot.BEFORE, Slot.ATTENTION_INPUT)
        return self.dim if before else self.dim_out, self.dim_out if after else self.dim

    def forward(self, hidden_states: Tensor, context: SlotContext = NO_CONTEXT, **_: object) -> Tensor:
        x = self.through(Slot.BEFORE, hidden_states, context)
        normed = self.layer_norm1(x)
        if self.dim != self.dim_out:
            x = do_pool(self.proj(normed), self.query_stride)
        normed = self.through(Slot.ATTENTION_INPUT, normed, context)
        attention = Replaced(self.attn, self._attended, partial(self.attn, pooled=False), self._pooled)
        mixed = self.instead(Slot.ATTENTION, attention, normed, context)
        y = x + self.through(Slot.ATTENTION_OUTPUT, mixed, context)
        y = self.plus(Slot.ATTENTION_PARALLEL, y, normed, attention, context)
        y = self.through(Slot.BETWEEN, y, context)
        normed = self.layer_norm2(y)
        z = self.plus(Slot.MLP_PARALLEL, y + self.mlp(normed), y, normed, context)
        return self.through(Slot.AFTER, z, context)

    def _pooled(self, x: Tensor) -> Tensor:
        return do_pool(x, self.query_stride) if self.query_stride else x

    def _attended(self, x: Tensor) -> Tensor:
        if self.window_size == 0:
            return self.attn(x)
        stride = self.query_stride[0] if self.query_stride else 1
        sides, window = (x.shape[1] // stride, x.shape[2] // stride), self.window_size
        attention = self.attn
        if isinstance(attention, HieraAttention) and overhangs(x, window) and untouched(HieraAttention, attention):
            return attention.in_windows(x, window, sides)
        return joined(self.attn(cut(x, window)), sides)


class HieraStages(Slotted, Sam2HieraDetModel):
    """Pixels -> maps of four stages (B, H, W, C). The table of places is enlarged once, not on every frame."""

    kept: Derived
    offers = (EncoderSlot.STEM,)

    def widths(self, slot: StrEnum) -> tuple[int, int]:
        return self.config.num_channels, self.config.hidden_size

    def forward(self, pixel_values: Tensor, context: SlotContext = NO_CONTEXT, **_: object) -> Sam2HieraDetModelOutput:
        x = self.instead(EncoderSlot.STEM, Replaced(self.patch_embed, self.patch_embed), pixel_values, context)
        x = x + self._get_pos_embed(x.shape[1:3])
        stages: Maps = ()
        for number, block in enumerate(self.blocks):
            here = context.at(number, x.shape[1:3])
            x = here.tapped(block(x, here))
            if number in self.stage_ends:
                stages = (*stages, x)
        return Sam2HieraDetModelOutput(last_hidden_state=x, intermediate_hidden_states=stages)

    def _get_pos_embed(self, hw: tuple[int, int]) -> Tensor:
        enlarged = super()._get_pos_embed
        return self.kept.get(lambda: enlarged(hw).clone(), self.pos_embed, self.pos_embed_window, key=hw)


class HieraNeck(Sam2VisionNeck):
    """Maps of all levels, finest last; positions of the coarsest map asked for, once: nobody looks at the others."""

    kept: Derived

    def forward(self, hidden_states: Maps) -> tuple[Maps, Maps]:  # type: ignore[override]
        maps: list[Tensor] = []
        last = len(self.convs) - 1
        for level in range(last, -1, -1):
            found = self.convs[last - level](hidden_states[level].permute(0, 3, 1, 2))
            if level != last and level in (self.fpn_top_down_levels or ()):
                found = found + F.interpolate(maps[-1], scale_factor=2.0, mode="nearest").to(found.dtype)
            maps.append(found)
        coarsest = maps[-3]  # the three finest are handed on
        shape = (1, *coarsest.shape[1:])
        places = self.kept.get(
            lambda: self.position_encoding(shape, coarsest.device, torch.float32).clone(), key=(shape, coarsest.device)
        )
        return tuple(maps), tuple(places for _ in maps)


class HieraEncoder(Slotted, Sam2VisionModel):
    """Pixels (B, 3, side, side) -> maps at strides 4, 8 and 16, and their positions."""

    config: Any

    offers = (EncoderSlot.NECK,)

    def widths(self, slot: StrEnum) -> tuple[int, int]:
        return self.config.backbone_channel_list[0], self.config.fpn_hidden_size

    def forward(self, pixel_values: Tensor, context: SlotContext = NO_CONTEXT, **_: object) -> Sam2VisionEncoderOutput:
        found = self.backbone(pixel_values, context=context)
        neck = Replaced(self.neck, self.neck)
        maps, places = self.instead(EncoderSlot.NECK, neck, found.intermediate_hidden_states, context)
        levels = slice(-self.num_feature_levels, None)
        return Sam2VisionEncoderOutput(
            last_hidden_state=found.last_hidden_state,
            fpn_hidden_states=maps[levels][::-1],
            fpn_position_encoding=places[levels][::-1],
        )
