"""Hiera's attention without a product the host library computes and throws away."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam2.modeling_sam2 import Sam2MultiScaleAttention


class LeanAttention(Sam2MultiScaleAttention):
    """(B, H, W, C) -> (B, H', W', C'), queries pooled where a stage begins. Same parameters, same result."""

    def forward(self, hidden_states: Tensor, **kwargs: object) -> Tensor:
        b, h, w, _ = hidden_states.shape
        heads = self.num_attention_heads
        q, k, v = self.qkv(hidden_states).view(b, h * w, 3, heads, -1).unbind(2)
        if self.query_stride:
            q = F.max_pool2d(q.reshape(b, h, w, -1).permute(0, 3, 1, 2), self.query_stride, self.query_stride)
            h, w = q.shape[-2:]
            q = q.permute(0, 2, 3, 1).reshape(b, h * w, heads, -1)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.proj(mixed.transpose(1, 2).reshape(b, h, w, -1))


def use_lean_attention(host: nn.Module) -> None:
    """Let every attention of a Hiera encoder compute this way; parameters and key names stay."""
    for module in host.modules():
        if type(module) is Sam2MultiScaleAttention:
            module.__class__ = LeanAttention
