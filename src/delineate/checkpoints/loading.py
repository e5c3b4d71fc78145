"""Weights put into a network: all of them, or an error that says which are not there; and adapters."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from delineate.checkpoints.adapter_file import adapted
from delineate.checkpoints.matching import require_match
from delineate.checkpoints.reading import Weights

COUNTERS = "num_batches_tracked"  # of batch norms, which nothing reads


def load_all(network: nn.Module, weights: Weights, file: str) -> None:
    """Load weights that are named as the network names them.

    Raises ModelError if any is missing, left over or of another shape.
    """
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    counters = {name: shape for name, shape in shapes.items() if name.endswith(COUNTERS)}
    wanted = {name: shape for name, shape in shapes.items() if name not in counters}
    require_match(wanted, {name: tuple(value.shape) for name, value in weights.items()}, file, optional=counters)
    network.load_state_dict(weights, strict=False)


@torch.no_grad()
def put_adapter(host: nn.Module, path: Path) -> None:
    """Put a saved adapter into the weights of a system's host.

    Raises ModelError if it is no adapter, or belongs to a network of another shape, or to other weights.
    """
    state = host.state_dict()
    arrays = {name: value.detach().float().cpu().numpy() for name, value in state.items() if value.is_floating_point()}
    for name, value in adapted(arrays, path).items():
        state[name].copy_(torch.from_numpy(value))
