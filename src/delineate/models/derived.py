"""Tensors that follow from parameters or sizes alone: made once, and again when what they follow from changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


def recorded() -> bool:
    """Whether what is computed is recorded: for gradients, or by an exporter."""
    return torch.is_grad_enabled() or torch.jit.is_tracing()


def untouched(kind: type[nn.Module], *modules: nn.Module) -> bool:
    """Whether modules are neither replaced nor hooked, so that their weights may be used without calling them."""
    return all(type(m) is kind and not m._forward_hooks and not m._forward_pre_hooks for m in modules)


@dataclass
class Derived:
    """Keeps one value. Nothing is kept where gradients pass, nor while a network is traced."""

    # key, value and sources; the last are held, so that no other tensor can take their place in memory
    _kept: tuple[Hashable, Any, tuple[Tensor, ...]] | None = None

    def get(self, make: Callable[[], Any], *sources: Tensor, key: Hashable = None) -> Any:
        """What ``make`` makes of ``sources`` and ``key``, kept from the last time if neither has changed since."""
        if recorded() or any(s.is_inference() for s in sources):
            return make()
        whole = (key, tuple((id(s), s._version, s.data_ptr()) for s in sources))
        kept = self._kept
        if kept is None or kept[0] != whole:
            kept = self._kept = (whole, make(), sources)  # at once: another thread may ask for another size
        return kept[1]
