"""MediViSTA v1's decoder: mask tokens times a U-Net's expanding path, skips gated by attention (arXiv 2309.13539 v1).

The gate is U-Transformer's (arXiv 2103.06104 sec. 2.2): queries and keys from below, values from the skip.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

REDUCED = 64  # channels the image has at the path's beginning


def _conv(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU()]


class GatedUp(nn.Module):
    """A map (B, below, h, w) and a skip (B, beside, 2 h, 2 w) -> (B, beside, 2 h, 2 w)."""

    def __init__(self, below: int, beside: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(nn.MaxPool2d(2), *_conv(beside, beside, 1))
        self.seen = nn.Sequential(*_conv(below, beside, 1))
        self.query, self.key, self.value = (nn.Linear(beside, beside, bias=False) for _ in range(3))
        self.gate = nn.Sequential(*_conv(beside, beside, 1))
        self.raised = nn.Sequential(nn.Conv2d(below, below, 3, padding=1), *_conv(below, beside, 1))
        self.joined = nn.Sequential(*_conv(2 * beside, beside, 3), *_conv(beside, beside, 3))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        from_below, from_skip = (one.flatten(2).transpose(1, 2) for one in (self.seen(x), self.skip(skip)))
        mixed = F.scaled_dot_product_attention(
            self.query(from_below)[:, None], self.key(from_below)[:, None], self.value(from_skip)[:, None]
        )
        map_of = mixed[:, 0].transpose(1, 2).unflatten(2, x.shape[2:])
        gated = _doubled(self.gate(map_of)) * skip
        return self.joined(torch.cat([gated, self.raised(_doubled(x))], dim=1))


class AttentionUpPath(nn.Module):
    """An image (B, 256, f, f) and skips at strides 8, 4, 2 -> (B, 8, 16 f, 16 f)."""

    def __init__(self, skips: Sequence[int] = (32, 16, 8), inputs: int = 256) -> None:
        super().__init__()
        self.reduce = nn.Sequential(*_conv(inputs, REDUCED, 3))
        widths = (REDUCED, *skips)
        self.ups = nn.ModuleList(GatedUp(below, beside) for below, beside in zip(widths, skips, strict=False))
        last = skips[-1]
        self.last = nn.Sequential(nn.ConvTranspose2d(last, last, 2, stride=2), nn.BatchNorm2d(last), nn.ReLU())

    def forward(self, image: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """``skips`` from the coarsest on."""
        x = self.reduce(image)
        for up, skip in zip(self.ups, skips, strict=True):
            x = up(x, skip)
        return self.last(x)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
