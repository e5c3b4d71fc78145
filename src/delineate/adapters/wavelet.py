"""Haar wavelets of an image, and MediViSTA's (2025) convolutional branch that sees them."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DOWN = (64, 128, 256, 512)
EPSILON = 1e-6


def haar_details(pixels: Tensor) -> Tensor:
    """Horizontal, vertical and diagonal details of pixels (B, C, 2 h, 2 w), each (B, C, h, w), along a new axis 1."""
    a, b = pixels[..., ::2, ::2], pixels[..., ::2, 1::2]
    c, d = pixels[..., 1::2, ::2], pixels[..., 1::2, 1::2]
    return torch.stack([a - b + c - d, a + b - c - d, a - b - c + d], dim=1) / 2


def stretched(x: Tensor) -> Tensor:
    """Maps (B, ...) from their least to their greatest value, as 0 to 1."""
    flat = x.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    shape = (-1, *(1,) * (x.ndim - 1))
    return (x - low.view(shape)) / (high - low + EPSILON).view(shape)


def wavelet_image(pixels: Tensor) -> Tensor:
    """Edges of pixels (B, 3, H, W): all three details, each stretched, summed, enlarged, stretched: (B, 1, H, W)."""
    gray = pixels.mean(dim=1, keepdim=True)
    details = haar_details(gray)
    summed = torch.stack([stretched(details[:, n]) for n in range(3)]).sum(0)
    return stretched(F.interpolate(summed, size=pixels.shape[-2:], mode="bilinear", align_corners=False))


class Normed2d(nn.LayerNorm):
    """Norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MultiScaleGate(nn.Module):
    """A map times what three views of it (1 x 1, 3 x 3, 3 x 3 dilated) vote for."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.views = nn.ModuleList(
            nn.Conv2d(width, width, kernel, padding=padding, dilation=dilation)
            for kernel, padding, dilation in ((1, 0, 1), (3, 1, 1), (3, 2, 2))
        )
        self.vote = nn.Conv2d(3 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.vote(torch.cat([view(x) for view in self.views], dim=1)))


class WaveletBranch(nn.Module):
    """Pixels (B, 3, S, S) -> a map (B, S / 16, S / 16, C) for each of several blocks.

    The block that fuses an image with its wavelets is missing in the released code: here a convolution of both is added
    to the image. After each use the map is refined from itself alone, so all of them are made before the encoder runs.
    """

    def __init__(self, width: int, uses: int) -> None:
        super().__init__()
        first = DOWN[0]
        self.fuse = nn.Conv2d(4, 3, 3, padding=1)
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, padding=1), nn.BatchNorm2d(first), nn.ReLU(),
            nn.Conv2d(first, first, 3, padding=1), nn.BatchNorm2d(first), nn.ReLU(),
        )  # fmt: skip
        self.gate = MultiScaleGate(first)
        sizes = (*DOWN, width)
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(i, o, 3, padding=1), Normed2d(o, eps=1e-6), nn.GELU())
            for i, o in pairwise(sizes)
        )
        self.refine = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), Normed2d(width, eps=1e-6), nn.GELU())
            for _ in range(uses - 1)
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        x = self.gate(self.stem(pixels + self.fuse(torch.cat([pixels, wavelet_image(pixels)], dim=1))))
        for level in self.down:
            x = level(x)
        maps = [x]
        for refine in self.refine:
            maps.append(refine(maps[-1]))
        return [one.permute(0, 2, 3, 1) for one in maps]
