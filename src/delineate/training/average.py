"""A moving average of weights, which is measured and saved instead of the last ones (Polyak averaging)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class MovingAverage:
    """Follows weights with a decay that grows to its full value over the first steps; a decay of 0 is off.

    parameters  what is followed: parameters, and statistics of batch norms
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.values = [p.detach().clone() for p in parameters] if decay else []

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """After an optimizer step, counted from 1."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        if self.values:
            torch._foreach_lerp_(self.values, list(self.parameters), weight)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The network has the averaged weights while the context lasts."""
        if not self.values:
            yield
            return
        trained = [p.detach().clone() for p in self.parameters]
        self._put(self.values)
        try:
            yield
        finally:
            self._put(trained)

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)
