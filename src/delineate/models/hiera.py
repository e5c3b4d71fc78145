"""Hiera and its feature pyramid without what the host library computes again on every frame, or throws away.

Parameters and key names stay the host's, results too up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam2.modeling_sam2 import Sam2HieraDetModel, Sam2MultiScaleAttention, Sam2VisionNeck

from delineate.models.attention import attend
from delineate.models.derived import Derived


class LeanAttention(Sam2MultiScaleAttention):
    """(B, H, W, C) -> (B, H', W', C'), queries pooled where a stage begins."""

    def forward(self, hidden_states: Tensor, **kwargs: object) -> Tensor:
        b, h, w, _ = hidden_states.shape
        heads = self.num_attention_heads
        q, k, v = self.qkv(hidden_states).view(b, h * w, 3, heads, -1).unbind(2)
        if self.query_stride:
            q = F.max_pool2d(q.reshape(b, h, w, -1).permute(0, 3, 1, 2), self.query_stride, self.query_stride)
            h, w = q.shape[-2:]
            q = q.permute(0, 2, 3, 1).reshape(b, h * w, heads, -1)
        mixed = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.proj(mixed.transpose(1, 2).reshape(b, h, w, -1))


class LeanHiera(Sam2HieraDetModel):
    """The table of places is enlarged once, not on every frame."""

    places: Derived

    def _get_pos_embed(self, hw: tuple[int, int]) -> Tensor:
        enlarged = super()._get_pos_embed
        return self.places.get(lambda: enlarged(hw).clone(), self.pos_embed, self.pos_embed_window, key=hw)


class LeanNeck(Sam2VisionNeck):
    """Maps of all levels, finest last; positions of the coarsest map asked for, once: nobody looks at the others."""

    places: Derived

    def forward(  # type: ignore[override]
        self, hidden_states: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        maps: list[Tensor] = []
        last = len(self.convs) - 1
        for level in range(last, -1, -1):
            found = self.convs[last - level](hidden_states[level].permute(0, 3, 1, 2))
            if level != last and level in (self.fpn_top_down_levels or ()):
                found = found + F.interpolate(maps[-1], scale_factor=2.0, mode="nearest").to(found.dtype)
            maps.append(found)
        coarsest = maps[-3]  # the three finest are handed on
        shape = (1, *coarsest.shape[1:])
        places = self.places.get(
            lambda: self.position_encoding(shape, coarsest.device, torch.float32).clone(), key=(shape, coarsest.device)
        )
        return tuple(maps), tuple(places for _ in maps)


LEAN = {Sam2MultiScaleAttention: LeanAttention, Sam2HieraDetModel: LeanHiera, Sam2VisionNeck: LeanNeck}


def use_lean_hiera(host: nn.Module) -> None:
    """Let an encoder compute this way."""
    for module in host.modules():
        lean = LEAN.get(type(module))
        if lean is not None:
            module.__class__ = lean
            if lean is not LeanAttention:
                module.places = Derived()  # type: ignore[assignment]
