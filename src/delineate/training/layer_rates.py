"""Learning rates by depth: layers near the pixels learn more slowly than those near the answer.

As in SAM 2's released fine-tuning: the image encoder has its own rate, which shrinks by a factor a block towards the
input; tables of positions are exempt; biases and norms are not decayed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from torch import nn

BLOCK = re.compile(r"^vision_encoder\.(?:backbone\.)?(?:blocks|layers)\.(\d+)\.")  # Hiera, plain ViT


class Sam2Part(StrEnum):
    """What of a SAM 2-shaped network can be trained by itself, by the host's names."""

    ENCODER = "vision_encoder"
    PROMPTS = "prompt_encoder"
    DECODER = "mask_decoder"
    ATTENTION = "memory_attention"
    MEMORY = "memory"  # the memory encoder, tables of time, pointers: all the rest


NAMED = tuple(part.value for part in Sam2Part if part is not Sam2Part.MEMORY)
EVERYTHING = tuple(Sam2Part)


@dataclass(frozen=True)
class LayerRates:
    """rate of all but the image encoder · its own · decay a block of it · weight decay."""

    rate: float
    encoder: float
    decay: float = 1.0
    weight_decay: float = 0.1


def part_of(name: str) -> Sam2Part:
    """Which part a parameter of the host belongs to."""
    head = name.split(".", 1)[0]
    return Sam2Part(head) if head in NAMED else Sam2Part.MEMORY


def parameter_groups(host: nn.Module, parts: Iterable[Sam2Part], rates: LayerRates) -> list[dict[str, Any]]:
    """The optimizer's groups of the parts that are trained, one for each rate and decay.

    Networks without numbered blocks in their encoder (RepViT) have one rate there.
    """
    wanted = set(parts)
    places = [int(found[1]) for name, _ in host.named_parameters() if (found := BLOCK.match(name))]
    depth = max(places, default=-1) + 1
    groups: dict[tuple[float, float, str], list[nn.Parameter]] = {}
    for name, parameter in host.named_parameters():
        part = part_of(name)
        if part not in wanted:
            continue
        rate = rates.encoder * rates.decay ** _below(name, depth) if part is Sam2Part.ENCODER else rates.rate
        decay = 0.0 if parameter.ndim <= 1 else rates.weight_decay
        groups.setdefault((rate, decay, str(part)), []).append(parameter)
    return [
        {"params": params, "lr": rate, "weight_decay": decay, "name": name}
        for (rate, decay, name), params in groups.items()
    ]


def _below(name: str, depth: int) -> int:
    """How many times a rate shrinks: once in the last block, once more in each before, most where pixels come in."""
    if "pos_embed" in name or ".neck." in name:
        return 0
    found = BLOCK.match(name)
    if found:
        return depth - int(found[1])
    return depth + 1 if "patch_embed" in name else 0
