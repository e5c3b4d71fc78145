"""Named places in a transformer block where a paper's module can be put.

A block is given slots by swapping its class, so that the host's own weights keep their names; an empty slot changes
nothing, bit for bit. Modules get and return maps (B, H, W, C).
"""

from __future__ import annotations

from enum import StrEnum

from torch import Tensor, nn
from transformers.models.sam.modeling_sam import SamVisionLayer

from delineate.errors import ModelError


class Slot(StrEnum):
    """Where a module sits in ``y = x + attention(norm(x)); z = y + mlp(norm(y))``."""

    BEFORE = "before"  # x, before all
    ATTENTION_INPUT = "attention_input"  # the normed x, before attention
    ATTENTION_PARALLEL = "attention_parallel"  # of the normed x, added beside attention
    ATTENTION_OUTPUT = "attention_output"  # what attention gave
    BETWEEN = "between"  # y
    MLP_PARALLEL = "mlp_parallel"  # of the normed y, added beside the MLP
    AFTER = "after"  # z


class SlottedSamLayer(SamVisionLayer):
    """A SAM block with slots; (B, H, W, C) -> the same."""

    def forward(self, hidden_states: Tensor) -> Tensor:  # type: ignore[override]
        x = _through(self, Slot.BEFORE, hidden_states)
        normed = _through(self, Slot.ATTENTION_INPUT, self.layer_norm1(x))
        y = x + _through(self, Slot.ATTENTION_OUTPUT, self._attended(normed))
        y = _plus(self, Slot.ATTENTION_PARALLEL, y, normed)
        y = _through(self, Slot.BETWEEN, y)
        normed = self.layer_norm2(y)
        z = _plus(self, Slot.MLP_PARALLEL, y + self.mlp(normed), normed)
        return _through(self, Slot.AFTER, z)

    def _attended(self, x: Tensor) -> Tensor:
        if self.window_size == 0:
            return self.attn(x)[0]
        height, width = x.shape[1:3]
        windows, padded = self.window_partition(x, self.window_size)
        return self.window_unpartition(self.attn(windows)[0], self.window_size, padded, (height, width))


def put(layer: nn.Module, slot: Slot, module: nn.Module) -> None:
    """Put a module into a slot of a block.

    Raises ModelError if the block has no slots or this one is taken.
    """
    if type(layer) is SamVisionLayer:
        layer.__class__ = SlottedSamLayer
    if not isinstance(layer, SlottedSamLayer):
        raise ModelError("E-SLOT", f"{type(layer).__name__} has no slots for adapters.")
    if getattr(layer, slot.value, None) is not None:
        raise ModelError("E-SLOT", f'The slot "{slot}" is taken already.')
    layer.add_module(slot.value, module)


def _through(layer: nn.Module, slot: Slot, x: Tensor) -> Tensor:
    module = getattr(layer, slot.value, None)
    return x if module is None else module(x)


def _plus(layer: nn.Module, slot: Slot, to: Tensor, x: Tensor) -> Tensor:
    module = getattr(layer, slot.value, None)
    return to if module is None else to + module(x)
