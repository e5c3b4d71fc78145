"""MediViSTA v1's stem: a U-Net's contracting path in place of patch embedding (arXiv 2309.13539 v1)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

LEVELS = (4, 8, 16, 32)  # channels at strides 1, 2, 4, 8
TEMPERATURE = 10000.0


class DoubleConv(nn.Module):
    """Twice a convolution of 3 x 3, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.double_conv(x)


class UNetStem(nn.Module):
    """Pixels (B, 1, S, S) -> tokens (B, S / 16, S / 16, C) with their places, and maps of the four levels above."""

    def __init__(self, width: int, channels: int = 1) -> None:
        super().__init__()
        sizes = (channels, *LEVELS, width)
        self.levels = nn.ModuleList(DoubleConv(i, o) for i, o in pairwise(sizes))
        self.pool = nn.MaxPool2d(2)

    def forward(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        maps = [self.levels[0](pixels)]
        for level in list(self.levels)[1:]:
            maps.append(level(self.pool(maps[-1])))
        tokens = maps[-1].permute(0, 2, 3, 1)
        return tokens + sine_places(tokens.shape[1], tokens.shape[3], tokens), tuple(maps[:-1])


def sine_places(cells: int, width: int, like: Tensor) -> Tensor:
    """Fixed code (cells, cells, C) of each place: a half of the channels for its row, the other for its column."""
    half = width // 2
    steps = torch.arange(half, device=like.device, dtype=torch.float32)
    rates = TEMPERATURE ** (-2 * (steps // 2) / half)
    angles = torch.arange(cells, device=like.device, dtype=torch.float32)[:, None] * rates
    code = torch.where(steps % 2 == 0, angles.sin(), angles.cos())
    rows, columns = code[:, None].expand(-1, cells, -1), code[None].expand(cells, -1, -1)
    return torch.cat([rows, columns], dim=-1).to(like.dtype)


class ConvNeck(nn.Module):
    """Tokens (B, f, f, C) -> embedding (B, 256, f, f), in place of SAM's neck; for ``EncoderSlot.NECK``."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, outputs, 3, padding=1), nn.BatchNorm2d(outputs)

    def forward(self, tokens: Tensor, *_: object) -> Tensor:
        return torch.relu(self.norm(self.conv(tokens.permute(0, 3, 1, 2))))
