"""softmax(q k') v: the fused kernel or, on a CPU, two products for some queries at a time.

Which kernel computes may depend on the precision, the device, and on whether anything is recorded; which modules are
called never does.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.models.derived import recorded

SCORES = 1 << 20  # computed at a time, so that they stay in the cache


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """Queries and keys (B, heads, T, C), (B, heads, S, C), values (B, heads, S, C) -> (B, heads, T, C).

    In bf16 on a CPU two products are about twice as fast as the fused kernel, which computes in fp32.
    """
    if dropout or not two_products_pay(q):
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    b, heads, t, _ = q.shape
    q, k, v = (x.reshape(b * heads, x.shape[2], -1) for x in (q, k, v))
    return by_products(q, k, v).view(b, heads, t, -1)


def two_products_pay(q: Tensor) -> bool:
    """Whether bf16 is computed on a CPU, and nothing is recorded."""
    return q.dtype is torch.bfloat16 and q.device.type == "cpu" and not recorded()


def by_products(
    q: Tensor, k: Tensor, v: Tensor, rows: Tensor | None = None, columns: Tensor | None = None, scale: float = 0.0
) -> Tensor:
    """Queries (N, T, C), keys (N, S, C), values (N, S, D) of any width -> (N, T, D).

    rows, columns  (N, T, h, 1) and (N, T, 1, w), added to the scores of keys on a grid of h x w; on a CPU only
    scale          of the scores; 0: one by the root of C
    """
    if q.device.type != "cpu":  # fused there, at any width
        q = q.contiguous()  # the fused kernels lay their answer out as these, which may be repeated without a copy
        return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], scale=scale or None)[:, 0]
    n, t, width = q.shape
    scale = scale or width**-0.5
    out = q.new_empty(n, t, v.shape[2])
    turned, v = k.transpose(1, 2).contiguous(), v.contiguous()
    batch, part = max(1, SCORES // (t * k.shape[1])), max(64, min(t, SCORES // k.shape[1]))
    for first in range(0, n, batch):
        some = slice(first, first + batch)
        for start in range(0, t, part):
            few = slice(start, start + part)
            asked = q[some, few]
            scores = torch.baddbmm(asked.new_empty(()), asked, turned[some], beta=0, alpha=scale)
            if rows is not None and columns is not None:
                grid = scores.view(*scores.shape[:2], rows.shape[2], columns.shape[3])
                grid += rows[some, few]
                grid += columns[some, few]
            torch.bmm(torch.softmax(scores, dim=-1), v[some], out=out[some, few])
    return out
