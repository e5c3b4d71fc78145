"""Attention between the frames of a clip: at a place, to the frame before, or with keys blended over frames.

MediViSTA, arXiv 2309.13539: v1 ("MediViSTA-SAM", the first two) and IEEE JBHI 2025 (the third). All are for
``Slot.BEFORE``, where frames of a clip follow each other in the batch.
"""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.adapters.depth import from_lines, to_lines
from delineate.adapters.init import Init, begun
from delineate.adapters.slots import SlotContext


class First(StrEnum):
    """Which frame the first of a clip looks at."""

    SELF = "self"
    LAST = "last"  # as the released code's shift has it: a heart cycle is closed


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, T, C) -> (N, heads, T, C / heads)."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


class TemporalSelfAttention(nn.Module):
    """Every place looks at itself in all frames: ``x + fc(attention(norm(x)))`` over (clips x H x W) lines of T tokens.

    Frames that are not there (``context.valid``) are looked at by none.
    """

    def __init__(self, width: int, heads: int, init: Init = Init.IDENTITY) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj, self.fc = nn.Linear(width, width), nn.Linear(width, width)
        begun(self.fc, init)

    def forward(self, tokens: Tensor, context: SlotContext) -> Tensor:
        lines = to_lines(self.norm(tokens), context.depth)
        q, k, v = (split_heads(one, self.heads) for one in self.qkv(lines).chunk(3, dim=-1))
        mask = None
        if context.valid is not None:
            places = tokens.shape[1] * tokens.shape[2]
            mask = context.valid.repeat_interleave(places, 0)[:, None, None]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        return tokens + from_lines(self.fc(self.proj(mixed)), *tokens.shape[1:3])


class PreviousFrameAttention(nn.Module):
    """Every place of a frame looks at all places of the frame before: ``x + attention(x, x of t - 1)``.

    There is no layer behind it; it begins as nothing with values of zero.
    """

    def __init__(self, width: int, heads: int, first: First = First.SELF, init: Init = Init.IDENTITY) -> None:
        super().__init__()
        self.heads, self.first = heads, first
        self.qkv = nn.Linear(width, 3 * width)
        if init is Init.IDENTITY:
            with torch.no_grad():
                self.qkv.weight[2 * width :].zero_()
                self.qkv.bias[2 * width :].zero_()

    def forward(self, tokens: Tensor, context: SlotContext) -> Tensor:
        maps = tokens.flatten(1, 2)
        q, k, v = self.qkv(maps).chunk(3, dim=-1)
        k, v = (self._before(one, context.depth) for one in (k, v))
        q, k, v = (split_heads(one, self.heads) for one in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return tokens + mixed.view_as(tokens)

    def _before(self, x: Tensor, depth: int) -> Tensor:
        """Of each frame, what (clips x T, ...) holds for the one before."""
        clips = x.unflatten(0, (-1, depth))
        first = clips[:, -1:] if self.first is First.LAST else clips[:, :1]
        return torch.cat([first, clips[:, :-1]], dim=1).flatten(0, 1)


class KernelTemporalFusion(nn.Module):
    """Attention within a frame to keys and values that are blended over frames by how far apart they are in time.

    ``k'(t) = sum over s of w(t, s) k(s)``, values likewise, ``w = exp(-|t - s| / lambda_t)``; with ``lambda_k`` also
    ``exp(-|k(t) - k(s)| / lambda_k)``, place by place. Weights of a frame add up to 1 (``normalize``; the released code
    leaves that out, so that keys grow with the length of the clip). Tokens are normed without parameters first.

    heads  the released code has one, and divides scores by the scale it means to multiply with; here as usual
    """

    def __init__(
        self,
        width: int,
        heads: int,
        lambda_t: float = 3.0,
        lambda_k: float | None = None,
        normalize: bool = True,
        init: Init = Init.IDENTITY,
    ) -> None:
        super().__init__()
        self.heads, self.lambda_t, self.lambda_k, self.normalize = heads, lambda_t, lambda_k, normalize
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        begun(self.proj, init)

    def forward(self, tokens: Tensor, context: SlotContext) -> Tensor:
        normed = F.layer_norm(tokens, tokens.shape[-1:]).flatten(1, 2)
        q, k, v = (one.unflatten(0, (-1, context.depth)) for one in self.qkv(normed).chunk(3, dim=-1))
        weights = self._weights(k, context)
        k, v = (torch.einsum("bnts,bsnc->btnc", weights, one) for one in (k, v))
        q, k, v = (split_heads(one.flatten(0, 1), self.heads) for one in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return tokens + self.proj(mixed).view_as(tokens)

    def _weights(self, k: Tensor, context: SlotContext) -> Tensor:
        """(clips, places or 1, T, T)."""
        time = torch.arange(context.depth, device=k.device, dtype=torch.float32)
        logs = -(time[:, None] - time).abs()[None, None] / self.lambda_t
        if self.lambda_k is not None:
            places = k.transpose(1, 2).float()  # (clips, N, T, C)
            logs = logs - torch.cdist(places, places) / self.lambda_k
        if context.valid is not None:
            logs = logs.masked_fill(~context.valid[:, None, None], -torch.inf)
        weights = torch.softmax(logs, dim=-1) if self.normalize else logs.exp()
        return weights.to(k.dtype).expand(len(k), *weights.shape[1:])
