"""softmax(q k') v: the fused kernel or, on a CPU, two products for some queries at a time.

Which kernel computes may depend on the precision, the device, and on whether anything is recorded; which modules are
called never does.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.models.derived import recorded
from delineate.models.linear import linear, onednn_multiplies

SCORES = 1 << 20  # computed at a time, so that they stay in the cache
SCORES_OF_ONE = 3 << 19  # the same of one head
MANY = 1 << 19  # of one head, which is then worth its own products in fp32


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """Queries and keys (B, heads, T, C), (B, heads, S, C), values (B, heads, S, C) -> (B, heads, T, C).

    On a CPU two products are faster than the fused kernel: in bf16, which it computes in fp32, about twice; in fp32
    where oneDNN multiplies and there are many scores.
    """
    if dropout or not (bf16_is_used(q) or _worth_it(q, k)):
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    b, heads, t, _ = q.shape
    q, k, v = (x.reshape(b * heads, x.shape[2], -1) for x in (q, k, v))
    return by_products(q, k, v).view(b, heads, t, -1)


def bf16_is_used(q: Tensor) -> bool:
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
    scale = scale or q.shape[2] ** -0.5
    out = q.new_empty(*q.shape[:2], v.shape[2])
    if _worth_it(q, k):
        for n in range(len(q)):
            bias = None if rows is None or columns is None else (rows[n], columns[n])
            _one(q[n] * scale, k[n], v[n].T.contiguous(), bias, out[n])
        return out
    turned, v = k.transpose(1, 2).contiguous(), v.contiguous()
    for some in _parts(len(q), q.shape[1] * k.shape[1]):
        for few in _parts(q.shape[1], k.shape[1]):
            asked = q[some, few]
            if rows is None or columns is None:
                scores = torch.baddbmm(asked.new_empty(()), asked, turned[some], beta=0, alpha=scale)
            else:
                scores = (rows[some, few] + columns[some, few]).flatten(2)
                torch.baddbmm(scores, asked, turned[some], alpha=scale, out=scores)
            torch.bmm(torch.softmax(scores, dim=-1), v[some], out=out[some, few])
    return out


def _one(q: Tensor, k: Tensor, turned: Tensor, bias: tuple[Tensor, Tensor] | None, out: Tensor) -> None:
    """One head: queries (T, C), scaled, keys (S, C), values (D, S), the answer (T, D)."""
    for few in _parts(len(q), len(k), SCORES_OF_ONE):
        scores = linear(q[few], k)
        if bias is not None:
            grid = scores.view(len(scores), bias[0].shape[1], bias[1].shape[2])
            grid += bias[0][few]
            grid += bias[1][few]
        out[few] = linear(torch.softmax(scores, dim=-1, out=scores), turned)


def _worth_it(q: Tensor, k: Tensor) -> bool:
    return onednn_multiplies(q) and q.shape[-2] * k.shape[-2] >= MANY


def _parts(count: int, scores: int, most: int = SCORES) -> Iterator[slice]:
    """``count`` rows of so many scores each, some at a time, all about as many."""
    parts = max(1, round(count * scores / most))
    size = max(1, -(-count // parts))
    return (slice(first, first + size) for first in range(0, count, size))
