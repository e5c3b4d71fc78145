"""Linear layers, computed by oneDNN where nothing is recorded.

``torch`` multiplies matrices of fp32 by MKL. oneDNN, which it brings along too, is faster on the CPUs measured, above
all where MKL does not use what the CPU has (AVX-512 of other makers than Intel).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.models.derived import recorded, untouched

FEW = 64  # rows; fewer are not worth a call of oneDNN
BETWEEN = 3 << 19  # numbers between two layers at a time, so that they stay in the cache


class Linear(nn.Linear):
    """Tokens (..., C) -> (..., C'), plus what a module named ``delta`` gives, where one was put beside it."""

    takes_delta = True

    def forward(self, input: Tensor) -> Tensor:
        y = linear(input, self.weight, self.bias)
        delta = self._modules.get("delta")
        return y if delta is None else y + delta(input)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Tokens (..., C) times a matrix (C', C), plus a bias (C',)."""
    if onednn_multiplies(x) and weight.dtype is torch.float32 and x.numel() >= FEW * x.shape[-1]:
        return torch.ops.mkldnn._linear_pointwise(x, weight.contiguous(), bias, "none", [], "")
    return F.linear(x, weight, bias)


def onednn_multiplies(x: Tensor) -> bool:
    """Whether fp32 is computed on a CPU that oneDNN is there for, and nothing is recorded."""
    plain = x.dtype is torch.float32 and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return plain and HAS_ONEDNN and not recorded()


def fed_forward(x: Tensor, first: nn.Module, between: Callable[[Tensor], Tensor], second: nn.Module) -> Tensor:
    """Two layers and what is between them, of (..., C); on a CPU for some tokens at a time."""
    if recorded() or x.device.type != "cpu" or not untouched(Linear, first, second):
        return second(between(first(x)))
    assert isinstance(first, nn.Linear)
    tokens = x.reshape(-1, x.shape[-1])
    parts = [second(between(first(part))) for part in tokens.split(max(FEW, BETWEEN // first.out_features))]
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(*x.shape[:-1], -1)


HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
