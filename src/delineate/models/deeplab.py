"""The trunk of DeepLabV3-ResNet101 as SSL-ALPNet uses it (He et al., arXiv 1512.03385; Chen et al., arXiv 1706.05587).

The last two stages keep the resolution and widen their kernels instead, so that features have a stride of 8; a linear
layer a pixel makes 256 channels of them. DeepLab's pooling pyramid is not used. Names of weights are torchvision's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EXPANSION = 4  # of a bottleneck's channels


@dataclass(frozen=True)
class DeepLabShape:
    """Blocks of the four stages, channels inside the first one's bottlenecks, and of the features."""

    depths: tuple[int, int, int, int] = (3, 4, 23, 3)
    width: int = 64
    channels: int = 256


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, inner: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = EXPANSION * inner
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if stride != 1 or inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        kept = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn3(self.conv3(y)) + kept)


class Trunk(nn.Module):
    """Pixels (B, 3, H, W) -> maps (B, 32 width, H / 8, W / 8)."""

    def __init__(self, shape: DeepLabShape) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, shape.width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(shape.width)
        inputs = shape.width
        # the first block of a widened stage still has the kernel of the stage before
        for stage, (depth, stride, first, then) in enumerate(
            zip(shape.depths, (1, 2, 1, 1), (1, 1, 1, 2), (1, 1, 2, 4), strict=True)
        ):
            inner = shape.width << stage
            blocks = [Bottleneck(inputs, inner, stride, first)]
            blocks += [Bottleneck(EXPANSION * inner, inner, 1, then) for _ in range(depth - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = EXPANSION * inner
        self.outputs = inputs

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(pixels.contiguous(memory_format=torch.channels_last)))), 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return x


class DeepLabEncoder(nn.Module):
    """Pixels (B, 3, H, W) -> features (B, 256, ceil(H / 8), ceil(W / 8))."""

    patch = 8

    def __init__(self, shape: DeepLabShape | None = None) -> None:
        super().__init__()
        shape = shape or DeepLabShape()
        self.channels = shape.channels
        self.backbone = Trunk(shape)
        self.localconv = nn.Conv2d(self.backbone.outputs, shape.channels, 1, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.localconv(self.backbone(pixels))
