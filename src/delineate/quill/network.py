"""Quill, the small promptable network that ships with the package.

A U-Net that sees the prompt as image channels from its first layer on (early fusion, as in SqueezeSAM, arXiv
2312.06736): a crop zoomed to the prompt goes in with the maps of ``preprocess.prompt_maps``, three candidate
outlines, their predicted IoU and the probability that the structure is there come out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class QuillConfig:
    """Sizes of the network.

    inputs      channels of the prompt maps
    detail      channels at 1/2 of the crop, where borders and thin vessels are told
    widths      channels at 1/4, 1/8, 1/16 and 1/32 of the crop
    depths      residual blocks on the way down at each of them
    heights     residual blocks on the way up at the first three
    candidates  outlines offered for one prompt
    """

    inputs: int = 12
    detail: int = 24
    widths: tuple[int, int, int, int] = (32, 64, 128, 256)
    depths: tuple[int, int, int, int] = (1, 2, 4, 4)
    heights: tuple[int, int, int] = (1, 1, 1)
    candidates: int = 3


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(x + self.norm2(self.conv2(inner)))


class GlobalAttention(nn.Module):
    """Lets every place of the coarsest map see every other one."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(tokens)).reshape(b, h * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5, dim=-1)
        mixed = (weights @ v).transpose(1, 2).reshape(b, h * w, c)
        return x + self.out(mixed).transpose(1, 2).reshape(b, c, h, w)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Quill(nn.Module):
    """Prompt maps (B, inputs, S, S), S = 32 n -> logits of masks (B, 3, S, S), IoU (B, 3), presence (B,)."""

    def __init__(self, config: QuillConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or QuillConfig()
        w, d = config.widths, config.depths
        self.fine = nn.Sequential(*_convolution(4 * config.inputs, config.detail), ResidualBlock(config.detail))
        self.stem = _convolution(16 * config.inputs, w[0])
        self.down = nn.ModuleList(
            nn.Sequential(
                *([_convolution(w[n - 1], w[n], stride=2)] if n else []), *(ResidualBlock(w[n]) for _ in range(d[n]))
            )
            for n in range(4)
        )
        self.context = GlobalAttention(w[3])
        self.lift = nn.ModuleList(nn.Conv2d(w[n + 1], w[n], 1) for n in range(3))
        self.up = nn.ModuleList(
            nn.Sequential(_convolution(2 * w[n], w[n]), *(ResidualBlock(w[n]) for _ in range(config.heights[n])))
            for n in range(3)
        )
        self.expand = nn.Conv2d(w[0], 4 * 16, 1)
        self.refine = _convolution(16 + config.detail, 32)
        self.masks = nn.Conv2d(32, 4 * config.candidates, 3, padding=1)
        self.judge = nn.Sequential(nn.Linear(w[3] + 2 * w[0] + 3, 128), nn.ReLU(), nn.Linear(128, 1))
        self.presence = nn.Sequential(nn.Linear(w[3] + w[0], 128), nn.ReLU(), nn.Linear(128, 1))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        halved = F.pixel_unshuffle(maps, 2)
        x = self.stem(F.pixel_unshuffle(halved, 2))
        levels = []
        for stage in self.down:
            x = stage(x)
            levels.append(x)
        x = bottom = self.context(x)
        for n in (2, 1, 0):
            x = F.interpolate(self.lift[n](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.up[n](torch.cat([x, levels[n]], dim=1))
        fine = torch.cat([F.pixel_shuffle(self.expand(x), 2), self.fine(halved)], dim=1)
        masks = F.pixel_shuffle(self.masks(self.refine(fine)), 2)
        overall = bottom.mean(dim=(2, 3))
        presence = self.presence(torch.cat([overall, x.mean(dim=(2, 3))], dim=1))[:, 0]
        return masks, self._judged(masks.detach(), x, overall), presence

    @torch.no_grad()
    def hide_channels(self, channels: Iterable[int]) -> None:
        """Make the network blind to channels of its input."""
        for first in (self.stem[0], self.fine[0]):
            assert isinstance(first, nn.Conv2d)
            by_channel = first.weight.view(first.out_channels, self.config.inputs, -1, *first.kernel_size)
            by_channel[:, list(channels)] = 0

    def _judged(self, masks: Tensor, x: Tensor, overall: Tensor) -> Tensor:
        """Logits of each outline's IoU (B, K): from what it holds, what it leaves to the others, its size and doubt."""
        chance = F.avg_pool2d(masks.sigmoid(), 4).flatten(2)
        left = chance.amax(dim=1, keepdim=True) - chance
        features = x.flatten(2).transpose(1, 2)
        area, rest = chance.sum(dim=2, keepdim=True), left.sum(dim=2, keepdim=True)
        inside = torch.matmul(chance, features) / (area + 1.0)
        beside = torch.matmul(left, features) / (rest + 1.0)
        doubt = (chance * (1 - chance)).sum(dim=2, keepdim=True) / (area + 1.0)
        shares = torch.cat([area, rest], dim=2) / chance.shape[2]
        overall = overall[:, None].expand(-1, inside.shape[1], -1)
        return self.judge(torch.cat([overall, inside, beside, doubt, shares], dim=2))[..., 0]
