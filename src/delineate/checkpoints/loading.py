"""Weights put into a network: all of them, or an error that says which are not there."""

from __future__ import annotations

from torch import nn

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
