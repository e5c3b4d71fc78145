"""Networks of the published architectures, small enough for tests, with weights that make them answer."""

from __future__ import annotations

import torch
from torch import nn

from delineate.models.sam import Sam, SamEncoder, SamShape, VitSize
from delineate.models.sam2 import HieraSize, Sam2, Sam2Shape, Sam2Version

TINY_VIT_SIZE = VitSize(64, 3, 2, (2,))
TABLES = ("pos_embed", "rel_pos", "token", "embed", "biases", "memory_temporal", "no_")
GAIN = 0.6  # of weights: small enough that rounding errors die out from frame to frame
TINY_HIERA = HieraSize(16, 1, (1, 2, 3, 2), (4, 5), (8, 4, 14, 7))


def lively(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights of a size at which every part counts: tables and tokens too, which start as zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not value.dtype.is_floating_point:
                continue
            drawn = torch.randn(value.shape, generator=generator)
            if name.endswith("running_var"):
                value.copy_(0.5 + drawn.abs())
            elif value.ndim <= 1:
                value.copy_((1.0 if name.endswith("weight") else 0.0) + 0.1 * drawn)
            elif any(part in name for part in TABLES):
                value.copy_(0.3 * drawn)
            else:
                value.copy_(GAIN * drawn / value[0].numel() ** 0.5)
    return network.eval()


def tiny_sam(encoder: SamEncoder = SamEncoder.VIT_B, side: int = 256, seed: int = 0) -> Sam:
    return lively(Sam(SamShape(encoder, side, TINY_VIT_SIZE)), seed)  # type: ignore[return-value]


def tiny_sam2(version: Sam2Version = Sam2Version.V2_1, side: int = 256, seed: int = 0) -> Sam2:
    network = lively(Sam2(Sam2Shape(version=version, side=side, hiera=TINY_HIERA)), seed)
    with torch.no_grad():  # the object is there, clearly: a hard choice would make rounding errors large
        network.host.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(3.0)
    return network  # type: ignore[return-value]


def moving_frames(count: int, side: int = 256) -> list:
    """A bright disc on texture that moves a little from frame to frame: uint8 (side, side, 3)."""
    import numpy as np

    rng = np.random.default_rng(0)
    ground = rng.integers(0, 90, (side, side, 3))
    y, x = np.mgrid[:side, :side]
    frames = []
    for t in range(count):
        disc = (y - side / 2 - 2 * t) ** 2 + (x - side / 2 + 3 * t) ** 2 < (side / 6) ** 2
        frames.append((np.roll(ground, t, 1) + 140 * disc[..., None]).astype(np.uint8))
    return frames
