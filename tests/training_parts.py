"""A system's parts, and nothing else, trained by the common loop on one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from delineate.adapters.freeze import FreezePolicy
from delineate.training.loop import LoopOptions, train

STEPS = 20


@dataclass
class PartsObjective:
    """An ``Objective``: ``compute`` gives the loss of the batch."""

    host: nn.Module
    policy: FreezePolicy
    compute: Callable[[], Tensor]

    def groups(self) -> list[dict[str, Any]]:
        self.policy.apply(self.host)
        return [{"params": [p for p in self.host.parameters() if p.requires_grad]}]

    def loss(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        self.policy.keep_statistics(self.host)
        return {"total": self.compute()}

    def measure(self) -> float:
        return -float(self.compute().detach())

    def modules(self) -> nn.Module:
        return self.host

    def weights(self) -> dict[str, Tensor]:
        return self.host.state_dict()


def trained(
    folder: Path, host: nn.Module, policy: FreezePolicy, loss: Callable[[], Tensor], rate: float = 1e-2
) -> float:
    """What is left of the loss after twenty steps, of what it was; checks that frozen weights stayed as they were."""
    frozen = {n: p.detach().clone() for n, p in host.named_parameters() if not policy.learns(n)}
    before = float(loss().detach())
    train(PartsObjective(host, policy, loss), LoopOptions(folder, STEPS, rate, every=STEPS, tensorboard=False))
    now = dict(host.named_parameters())
    assert all(bool((now[name] == value).all()) for name, value in frozen.items())
    return float(loss().detach()) / before
