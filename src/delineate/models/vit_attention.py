"""SAM's image attention without its cost in memory.

The decomposed relative position bias (arXiv 2112.01526 eq. 4) is usually written out as a matrix of tokens x tokens
for every head: 4096 x 4096 at 1024 px, which is most of the encoder's time on a CPU. Here a few rows of queries are
taken at a time, so that scores and bias stay in the cache; on a GPU, a few heads. Same parameters, same result up to
rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.sam.modeling_sam import SamVisionAttention

from delineate.models.attention import attend, bf16_is_used, by_products
from delineate.models.derived import Derived, recorded
from delineate.models.windows import cut, joined

FEW = 256  # tokens of a window
BIASES = 1 << 27  # written out at a time on a GPU


class VitAttention(SamVisionAttention):
    """Tokens of a map, a window or a line (B, H, W, C) -> the same."""

    kept: Derived  # tables of relative places

    def forward(self, hidden_states: Tensor) -> Tensor:  # type: ignore[override]
        return self.proj(self.mixed(self.qkv(hidden_states)))

    def in_windows(self, x: Tensor, window: int) -> Tensor:
        """The same in each window of a map. Those that reach beyond it see zeros there, as published.

        Only the map's own tokens are projected.
        """
        nothing = self.qkv(x.new_zeros(1, x.shape[3]))[0]
        return self.proj(joined(self.mixed(cut(self.qkv(x), window, nothing)), (x.shape[1], x.shape[2])))

    def mixed(self, qkv: Tensor) -> Tensor:
        """softmax(q k') v of a map (B, H, W, 3 C)."""
        b, h, w, c = (*qkv.shape[:3], qkv.shape[3] // 3)
        heads = self.num_attention_heads
        qkv = qkv.view(b, h * w, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        if not self.use_rel_pos:
            q, k, v = qkv.unbind(0)
            return attend(q, k, v).transpose(1, 2).reshape(b, h, w, c)
        q, k, v = qkv.reshape(3, b * heads, h * w, c // heads).unbind(0)
        of_rows, of_columns = self.kept.get(
            lambda: (_table(self.rel_pos_h, h).to(q.dtype), _table(self.rel_pos_w, w).to(q.dtype)),
            self.rel_pos_h,
            self.rel_pos_w,
            key=(h, w, q.dtype),
        )
        grid = q.view(-1, h, w, c // heads)
        rows = torch.einsum("bhwc,hkc->bhwk", grid, of_rows).reshape(-1, h * w, h)
        columns = torch.einsum("bhwc,wkc->bhwk", grid, of_columns).reshape(-1, h * w, w)
        mixed = _attend(q, k, v, rows, columns, self.scale)
        return mixed.view(b, heads, h, w, -1).permute(0, 2, 3, 1, 4).reshape(b, h, w, c)


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
    if torch.jit.is_tracing():  # exporters want it written out
        bias = (rows[..., None] + columns[..., None, :]).view(n, tokens, tokens)
        return torch.softmax(q * scale @ k.transpose(1, 2) + bias, dim=-1) @ v
    if recorded():
        bias = (rows[..., None] + columns[..., None, :]).view(n, tokens, tokens)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    if q.device.type != "cpu":
        return _by_heads(q, k, v, rows, columns, scale)
    if bf16_is_used(q) and tokens <= FEW:  # the bias comes with the product: keys' places as further channels, 0 or 1
        asked, keys = torch.cat([q * scale, rows, columns], dim=-1), torch.cat([k, _which(q, rows, columns)], dim=-1)
        return by_products(asked, keys, v, scale=1.0)
    return by_products(q, k, v, rows[..., None], columns[..., None, :], scale)


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
