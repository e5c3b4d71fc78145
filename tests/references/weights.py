"""Weights and frames that anyone can make again: drawn from the name of each array.

A reference file holds what the authors' code answered with these; no weights are stored.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

TABLES = (
    "pos_embed", "rel_pos", "token", "_embed.weight", "embeddings", "tpos", "no_obj", "no_mem", "latents",
    "attention_biases",
)  # fmt: skip


def seeded(key: str, shape: tuple[int, ...], gain: float = 1.0) -> Tensor:
    """float32 numbers that depend on the name and shape of an array alone (and on the gain of matrices)."""
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    drawn = torch.randn(shape, generator=generator)
    if "num_batches_tracked" in key:
        return torch.zeros(shape, dtype=torch.int64)
    if key.endswith("running_var"):
        return 0.5 + drawn.abs()
    if "gaussian_matrix" in key:
        return drawn
    if key.endswith("pred_obj_score_head.layers.2.bias"):
        return 3.0 + 0 * drawn  # present, clearly
    if any(part in key for part in TABLES):
        return 0.2 * drawn
    if key.endswith("gamma"):
        return 0.3 + 0.1 * drawn
    if len(shape) <= 1:
        return (1.0 if key.endswith("weight") else 0.0) + 0.1 * drawn
    return gain * drawn / math.sqrt(math.prod(shape[1:]))


def seeded_state(shapes: Mapping[str, tuple[int, ...]], gain: float = 1.0) -> dict[str, Tensor]:
    """A state dictionary in the native layout."""
    return {key: seeded(key, tuple(shape), gain) for key, shape in shapes.items()}


def seeded_frames(name: str, count: int, side: int) -> Tensor:
    """Frames (count, 3, side, side) of a soft pattern that moves."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    base = torch.randn(1, 3, side // 8, side // 8, generator=generator)
    base = F.interpolate(base, size=(side, side), mode="bicubic", align_corners=False)[0]
    noise = torch.randn(count, 3, side, side, generator=generator)
    return torch.stack([torch.roll(base, (2 * t, 3 * t), (1, 2)) + 0.05 * noise[t] for t in range(count)])
