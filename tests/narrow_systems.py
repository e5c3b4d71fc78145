"""Narrow networks of systems with a paper's parts, with weights that make every part count, and files of them."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from delineate.checkpoints.system_file import SystemCard, write_system
from delineate.models.sizes import HieraSizes, NetworkSizes, VitSizes
from delineate.systems import SYSTEMS
from tiny_networks import TINY_HIERA, TINY_VIT_SIZE, lively

VIT, HIERA = VitSizes(**asdict(TINY_VIT_SIZE)), HieraSizes(**asdict(TINY_HIERA))


def row_of(system: str) -> Any:
    """What a system is built from."""
    return SYSTEMS[system].build.__self__  # type: ignore[attr-defined]


def claimed(system: str, part: str) -> float:
    """The figure that the table of systems gives for a part: tests of parity assert it, so that it stays true."""
    found = re.search(rf"\b{part} (\de-\d+)", SYSTEMS[system].parity)
    assert found is not None, f"{system} claims nothing for {part}"
    return float(found[1])


def narrow_card(system: str, variant: str = "", classes: tuple[str, ...] = (), **sizes: Any) -> SystemCard:
    encoder = getattr(row_of(system), "encoder", "")
    own = {"vit": VIT if encoder == "vit_b" else None, "hiera": HIERA if encoder is None else None}
    return SystemCard(
        system=system, variant=variant, classes=classes, sizes=NetworkSizes(**({"side": 128} | own | sizes))
    )


def narrow_network(card: SystemCard, seed: int = 0, alive: bool = True) -> Any:
    """The system's network in the card's sizes."""
    torch.manual_seed(seed)
    network = row_of(card.system).network(card.variant, card).eval()
    return lively(network, seed) if alive else network


def narrow_file(folder: Path, card: SystemCard, network: Any | None = None) -> Path:
    """A file that ``-m SYSTEM=FILE`` opens."""
    path = folder / f"{card.system}.safetensors"
    write_system(path, (network or narrow_network(card)).host.state_dict(), card)
    return path
