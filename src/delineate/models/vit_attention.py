"""SAM's image attention without its cost in memory.

The decomposed relative position bias (arXiv 2112.01526 eq. 4) is usually written out as a matrix of tokens x tokens
for every head: 4096 x 4096 at 1024 px, which is most of the encoder's time on a CPU. Here a few rows of queries are
taken at a time, so that scores and bias stay in the cache; on a GPU, a few heads. Same parameters, same result up to
rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam.modeling_sam import SamVisionAttention, SamVisionSdpaAttention

from delineate.models.attention import by_products, two_products_pay
from delineate.models.derived import Derived

CHUNK = 256  # queries at a time
BIASES = 1 << 27  # written out at a time on a GPU


class ChunkedAttention(SamVisionAttention):
    """(B, H, W, C) -> (B, H, W, C), and None where the host library would return weights."""

    tables: Derived  # of relative places

    def forward(  # type: ignore[override]
        self, hidden_states: Tensor, output_attentions: bool = False
    ) -> tuple[Tensor, None]:
        b, h, w, c = hidden_states.shape
        heads = self.num_attention_heads
        qkv = self.qkv(hidden_states).view(b, h * w, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.reshape(3, b * heads, h * w, -1).unbind(0)
        of_rows, of_columns = self.tables.get(
            lambda: (_table(self.rel_pos_h, h).to(q.dtype), _table(self.rel_pos_w, w).to(q.dtype)),
            self.rel_pos_h,
            self.rel_pos_w,
            key=(h, w, q.dtype),
        )
        grid = q.view(-1, h, w, c // heads)
        rows = torch.einsum("bhwc,hkc->bhwk", grid, of_rows).reshape(-1, h * w, h)
        columns = torch.einsum("bhwc,wkc->bhwk", grid, of_columns).reshape(-1, h * w, w)
        mixed = _attend(q, k, v, rows, columns, self.scale)
        mixed = mixed.view(b, heads, h, w, -1).permute(0, 2, 3, 1, 4).reshape(b, h, w, c)
        return self.proj(mixed), None


def use_chunked_attention(encoder: nn.Module) -> None:
    """Let every attention of a host encoder compute this way; parameters and key names stay."""
    for module in encoder.modules():
        if type(module) in (SamVisionAttention, SamVisionSdpaAttention) and module.use_rel_pos:
            module.__class__ = ChunkedAttention
            module.tables = Derived()  # type: ignore[assignment]


@contextmanager
def written_out(network: nn.Module) -> Iterator[None]:
    """Attention with its bias written out, as exporters want it, while the context lasts."""
    changed = [module for module in network.modules() if type(module) is ChunkedAttention]
    for module in changed:
        module.__class__ = SamVisionAttention  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in changed:
            module.__class__ = ChunkedAttention


def _table(rel_pos: Tensor, size: int) -> Tensor:
    """Bias vectors (query place, key place, channel), resized linearly where the table was made for another size."""
    length = 2 * size - 1
    if len(rel_pos) != length:
        rel_pos = F.interpolate(rel_pos.T[None].float(), size=length, mode="linear")[0].T
    place = torch.arange(size, device=rel_pos.device)
    return rel_pos[place[:, None] - place[None] + size - 1]


def _attend(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, scale: float) -> Tensor:
    """softmax(q k + bias) v for q, k, v (N, T, C), the bias of a key being its row's plus its column's."""
    n, tokens, _ = q.shape
    if two_products_pay(q):
        if tokens <= CHUNK:  # the bias comes with the product: places of keys as further channels, 0 or 1
            asked, keys = (
                torch.cat([q * scale, rows, columns], dim=-1),
                torch.cat([k, _which(q, rows, columns)], dim=-1),
            )
            return by_products(asked, keys, v, scale=1.0)
        return by_products(q, k, v, rows[..., None], columns[..., None, :], scale)
    if q.device.type != "cpu" and not torch.is_grad_enabled():
        return _by_heads(q, k, v, rows, columns, scale)
    if tokens <= CHUNK or torch.is_grad_enabled():
        bias = (rows[..., None] + columns[..., None, :]).view(n, tokens, tokens)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    out = torch.empty_like(q)
    for head in range(n):
        for start in range(0, tokens, CHUNK):
            part = slice(start, start + CHUNK)
            bias = (rows[head, part, :, None] + columns[head, part, None, :]).view(1, 1, -1, tokens)
            few, keys, values = q[None, None, head, part], k[None, None, head], v[None, None, head]
            out[head, part] = F.scaled_dot_product_attention(few, keys, values, attn_mask=bias, scale=scale)[0, 0]
    return out


def _by_heads(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, scale: float) -> Tensor:
    """The same, the bias of some heads written out at a time; fused kernels want heads on an axis of their own."""
    n, tokens, _ = q.shape
    some = max(1, BIASES // tokens**2)
    parts = []
    for few in (slice(first, first + some) for first in range(0, n, some)):
        bias = (rows[few, :, :, None] + columns[few, :, None]).flatten(2)
        asked, keys, values = q[None, few], k[None, few], v[None, few]
        parts.append(F.scaled_dot_product_attention(asked, keys, values, attn_mask=bias[None], scale=scale)[0])
    return torch.cat(parts)


def _which(q: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The row and the column of each key, one-hot: (N, T, h + w)."""
    h, w = rows.shape[-1], columns.shape[-1]
    at = torch.eye(h, dtype=q.dtype).repeat_interleave(w, dim=0), torch.eye(w, dtype=q.dtype).repeat(h, 1)
    return torch.cat(at, dim=1).expand(len(q), -1, -1)
