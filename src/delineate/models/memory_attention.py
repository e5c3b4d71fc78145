"""Attention of a frame to what is remembered (arXiv 2408.00714 sec. 4), with what objects share computed once.

The first self-attention sees the frame alone, so it is the same for all objects. Values are summed up before they are
projected (64 channels instead of 256). Same parameters, same result up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryAttention, Sam2VideoRoPEAttention

from delineate.models.attention import attend, by_products
from delineate.models.derived import Derived


class LeanMemoryAttention(Sam2VideoMemoryAttention):
    """The host's module and its way of being called, and a leaner one where nothing is learned."""

    turns: Derived  # angles of rotation of every place

    def recall(self, seen: Tensor, memory: Tensor, places: Tensor, pointers: int) -> Tensor:
        """A frame (1, N, 256) compared with memories (O, T, 64), the last ``pointers`` without a place: (O, N, 256)."""
        turn = self.turns.get(self._turn, self.rotary_emb.inv_freq, key=(seen.device, self.position_ids.shape))
        x, keys = seen, memory + places
        layer: Any
        for layer in self.layers:
            x = x + _own(layer.self_attn, layer.layer_norm1(x), turn)
            x = x + self._across(layer.cross_attn_image, layer.layer_norm2(x), keys, memory, turn, pointers)
            x = x + layer.linear2(F.relu(layer.linear1(layer.layer_norm3(x))))
        return self.layer_norm(x)

    def _turn(self) -> Tensor:
        """The rotation of each place and pair of channels, complex (N, 128)."""
        cos, sin = self.rotary_emb(self.position_ids.float(), self.position_ids)
        return torch.complex(cos[0, :, ::2].float(), sin[0, :, ::2].float())

    def _across(self, attention: Any, x: Tensor, keys: Tensor, memory: Tensor, turn: Tensor, pointers: int) -> Tensor:
        if type(attention) is not Sam2VideoRoPEAttention:  # EfficientTAM's averaged memories
            asked, cos_sin = x[:, None].expand(len(keys), -1, -1, -1), self.rotary_emb(x, self.position_ids)
            return attention(asked, keys[:, None], memory[:, None], cos_sin, num_k_exclude_rope=pointers)[0][:, 0]
        q = _turned(attention.q_proj(x), turn).expand(len(keys), -1, -1)
        k = attention.k_proj(keys)
        placed = k.shape[1] - pointers
        k = torch.cat([_turned(k[:, :placed], turn), k[:, placed:]], dim=1)
        mixed = by_products(q, k, memory.to(q.dtype), scale=attention.scaling)
        return attention.o_proj(attention.v_proj(mixed))


def use_lean_memory(host: Any) -> None:
    """Let SAM 2's memory attention compute this way; parameters and key names stay."""
    if type(host.memory_attention) is Sam2VideoMemoryAttention:
        host.memory_attention.__class__ = LeanMemoryAttention
        host.memory_attention.turns = Derived()  # type: ignore[assignment]


def _own(attention: Any, x: Tensor, turn: Tensor) -> Tensor:
    """Self-attention of places (B, N, 256)."""
    q, k = _turned(attention.q_proj(x), turn), _turned(attention.k_proj(x), turn)
    return attention.o_proj(attend(q[:, None], k[:, None], attention.v_proj(x)[:, None])[:, 0])


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """Rotary places: pairs of channels of x (B, several maps of N places, C) turned by the angles of their place."""
    b, count, width = x.shape
    pairs = x.float().reshape(b, -1, len(turn), width // 2, 2)
    turned = torch.view_as_real(torch.view_as_complex(pairs) * turn)
    return turned.reshape(b, count, width).to(x.dtype)
