"""Weights put into a network: all of them, or an error that says which are not there."""

from __future__ import annotations

from torch import nn

from delineate.checkpoints.reading import Weights
from delineate.core.errors import ModelError
from delineate.core.terminal_text import excerpt

SHOWN = 4  # names listed of each kind


def load_all(network: nn.Module, weights: Weights, file: str) -> None:
    """Load weights that are named as the network names them.

    Raises ModelError if any is missing, left over or of another shape.
    """
    wanted = network.state_dict()
    ours = {key: value for key, value in wanted.items() if not key.endswith("num_batches_tracked")}
    missing = [key for key in ours if key not in weights]
    unknown = [key for key in weights if key not in wanted]
    other = [
        f"{key} {tuple(weights[key].shape)} for {tuple(value.shape)}"
        for key, value in ours.items()
        if key in weights and weights[key].shape != value.shape
    ]
    if missing or unknown or other:
        found = "; ".join(
            f"{len(names)} {word}: {', '.join(map(excerpt, names[:SHOWN]))}{' ...' if len(names) > SHOWN else ''}"
            for names, word in ((missing, "missing keys"), (unknown, "unexpected keys"), (other, "of another shape"))
            if names
        )
        raise ModelError(
            "E-MODEL-KEYS",
            f"{file} does not fit: of {len(ours)} arrays wanted and {len(weights)} found, {found}.",
            "Name the system it belongs to with --system.",
        )
    network.load_state_dict(weights, strict=False)
