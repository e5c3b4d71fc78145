"""Low-rank matrices beside a host's linear layers: LoRA on some or on queries and values alone, AdaLoRA's form, FacT.

LoRA: arXiv 2106.09685; AdaLoRA: arXiv 2303.10512; FacT (tensor-train): arXiv 2212.03145. A host's layers keep their
names; what is put beside one is its submodule ``delta``. All begin at zero, as published.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.adapters.slots import Slotted
from delineate.core.errors import ModelError

ADALORA_EPSILON = 1e-5  # beside the rank in AdaLoRA's scale


class LowRank(nn.Module):
    """(..., inputs) -> (..., outputs): ``scale * up(down(x))``; ``alpha / rank`` scales, None: 1."""

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float | None = None) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=False)
        self.scale = 1.0 if alpha is None else alpha / rank
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.up(self.down(x))


class Svd(nn.Module):
    """AdaLoRA's form (eq. 3): ``scale * up diag(values) down x``; ``values`` begin at zero."""

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float | None = None) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, inputs).normal_(0, 0.02))
        self.values = nn.Parameter(torch.zeros(rank))
        self.up = nn.Parameter(torch.empty(outputs, rank).normal_(0, 0.02))
        self.scale = (rank if alpha is None else alpha) / (rank + ADALORA_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * F.linear(F.linear(x, self.down) * self.values, self.up)

    def gap(self) -> Tensor:
        """How far both matrices are from orthogonal (eq. 4): the penalty of a training is the sum over layers."""
        one = torch.eye(len(self.values), device=self.values.device)
        return (self.down @ self.down.T - one).square().sum() + (self.up.T @ self.up - one).square().sum()


class QueryValue(nn.Module):
    """Something for queries and something for values, beside a layer that gives queries, keys and values at once.

    heads  where the layer's outputs are ordered head by head (TinyViT), how many; 0: all queries, keys, values in a row
    """

    def __init__(self, query: nn.Module, value: nn.Module, heads: int = 0) -> None:
        super().__init__()
        self.query, self.value, self.heads = query, value, heads

    def forward(self, x: Tensor) -> Tensor:
        q, v = self.query(x), self.value(x)
        if self.heads:
            q, v = (one.unflatten(-1, (self.heads, -1)) for one in (q, v))
            return torch.cat([q, torch.zeros_like(q), v], dim=-1).flatten(-2)
        return torch.cat([q, torch.zeros_like(q), v], dim=-1)


class FactorTensors(nn.Module):
    """FacT's two matrices that all blocks of an encoder share: U (C -> r) and V (r -> C, zero)."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, rank, bias=False), nn.Linear(rank, width, bias=False)
        nn.init.zeros_(self.up.weight)


class Factor(nn.Module):
    """FacT of one block's queries or values: ``scale * V(dropout(P(U x)))``, P being its own r x r."""

    def __init__(self, shared: FactorTensors, dropout: float = 0.1, scale: float = 1.0) -> None:
        super().__init__()
        rank = shared.down.out_features
        self.core = nn.Linear(rank, rank, bias=False)
        self.dropout, self.scale = nn.Dropout(dropout), scale
        self._shared = (shared,)  # the encoder's, no submodule of this

    def forward(self, x: Tensor) -> Tensor:
        (shared,) = self._shared
        return self.scale * shared.up(self.dropout(self.core(shared.down(x))))


Make = Callable[[int, int], nn.Module]


def put_delta(layer: nn.Module, delta: nn.Module) -> None:
    """Put a module beside a linear layer of a host: what it gives is added. Raises ModelError for other layers."""
    if not getattr(layer, "takes_delta", False) or "delta" in layer._modules:
        raise ModelError(
            "E-SLOT", f"{type(layer).__name__} takes nothing beside it.", "Choose a linear layer that has nothing yet."
        )
    layer.add_module("delta", delta.train(layer.training))


def attentions(encoder: nn.Module) -> Iterator[Any]:
    """The attentions of an encoder's blocks, in order."""
    for block in encoder.modules():
        if isinstance(block, Slotted) and hasattr(block, "attn"):
            yield block.attn


def add_to_queries_and_values(encoder: nn.Module, make: Make) -> None:
    """Put what ``make`` makes (channels in, channels out) beside queries and values of every block's attention.

    Raises ModelError if the encoder has no attention.
    """
    found = list(attentions(encoder))
    if not found:
        raise ModelError("E-SLOT", f"{type(encoder).__name__} has no attention.", "Choose a ViT, TinyViT or Hiera.")
    for attention in found:
        layer = attention.qkv
        inputs, outputs = layer.in_features, layer.out_features // 3
        heads = int(getattr(attention, "heads", 0))
        put_delta(layer, QueryValue(make(inputs, outputs), make(inputs, outputs), heads))


def add_to_mlps(encoder: nn.Module, make: Make) -> None:
    """Put what ``make`` makes beside both layers of every block's MLP."""
    for block in encoder.modules():
        if isinstance(block, Slotted) and hasattr(block, "mlp"):
            mlp: Any = block.mlp
            for layer in mlp.children():
                if isinstance(layer, nn.Linear):
                    put_delta(layer, make(layer.in_features, layer.out_features))


def add_factor_tensors(encoder: nn.Module, rank: int = 32, dropout: float = 0.1) -> None:
    """Put FacT on queries and values of an encoder whose blocks are all as wide (SAM's ViT)."""
    width = next(attentions(encoder)).qkv.in_features
    shared = FactorTensors(int(width), rank)
    encoder.add_module("factors", shared)
    add_to_queries_and_values(encoder, lambda *_: Factor(shared, dropout))


def orthogonality(network: nn.Module) -> Tensor:
    """AdaLoRA's penalty of all layers, to be weighted by 0.1 (Medical SAM Adapter) or 0.5 (its authors)."""
    gaps = [module.gap() for module in network.modules() if isinstance(module, Svd)]
    return torch.stack(gaps).sum() if gaps else torch.zeros(())


class RankBudget:
    """AdaLoRA's allocation (sec. 3.3): the values that matter least, of all layers together, are set to zero.

    How much a value matters is its size times its gradient, smoothed; between ``warm`` and ``steps - final`` the number
    of values that are left falls along a cubic from all to ``target`` a layer.
    """

    def __init__(self, network: nn.Module, target: int, steps: int, warm: int, final: int, decay: float = 0.85) -> None:
        self.layers = [module for module in network.modules() if isinstance(module, Svd)]
        self.target, self.steps, self.warm, self.final, self.decay = target, steps, warm, final, decay
        self.importance = [torch.zeros_like(layer.values) for layer in self.layers]

    def left(self, step: int) -> int:
        """Values that are left of all layers after a step."""
        first, last = sum(len(layer.values) for layer in self.layers), self.target * len(self.layers)
        if step <= self.warm:
            return first
        share = max(0.0, 1 - (step - self.warm) / max(1, self.steps - self.warm - self.final))
        return last + int((first - last) * share**3)

    @torch.no_grad()
    def stepped(self, step: int) -> None:
        """After the optimizer's step, while its gradients are there."""
        for layer, known in zip(self.layers, self.importance, strict=True):
            if layer.values.grad is not None:
                known.mul_(self.decay).add_((layer.values * layer.values.grad).abs(), alpha=1 - self.decay)
        every = torch.cat(self.importance)
        count = self.left(step)
        if count < len(every):
            least = every.sort(descending=True).values[count - 1] if count else torch.inf
            for layer, known in zip(self.layers, self.importance, strict=True):
                layer.values.masked_fill_(known < least, 0.0)
