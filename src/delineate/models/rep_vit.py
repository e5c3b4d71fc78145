"""RepViT-M1, EdgeTAM's image encoder (Wang et al., arXiv 2307.09283).

Its branches are merged only while nothing is learned. Module names are those of the published checkpoint, which
follows the ``timm`` feature extractor.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.models.conv_norm import ConvNorm, computed_in, packed
from delineate.models.derived import Derived, untouched


@dataclass(frozen=True)
class RepViTConfig:
    """Widths and blocks of the four stages (strides 4 to 32)."""

    widths: tuple[int, int, int, int] = (48, 96, 192, 384)
    depths: tuple[int, int, int, int] = (2, 2, 14, 2)
    expansion: int = 2


class Stem(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, width // 2, 3, 2)
        self.conv2 = ConvNorm(width // 2, width, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.gelu(self.conv1(x)))


class DepthWise(nn.Module):
    """3 x 3 and 1 x 1 depth-wise branches and the identity, added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = ConvNorm(width, width, 3, groups=width)
        self.conv1 = ConvNorm(width, width, groups=width)
        self._one = Derived()

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.conv, self.conv1)
        if not (untouched(ConvNorm, *branches) and all(branch.folds() for branch in branches)):
            return self.conv(x) + self.conv1(x) + x
        sources = (*self.conv.sources, *self.conv1.sources)
        weight, bias = self._one.get(lambda: packed(*self.folded(), x), *sources, key=computed_in(x))
        return F.conv2d(x, weight, bias, 1, 1, 1, x.shape[1])

    def folded(self) -> tuple[Tensor, Tensor]:
        """The three branches as one 3 x 3 convolution."""
        weight, bias = self.conv.folded()
        point, shift = self.conv1.folded()
        return weight + F.pad(point + 1, (1, 1, 1, 1)), bias + shift


class SqueezeExcite(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(8, (width // 4 + 4) // 8 * 8)  # a quarter, rounded to a multiple of eight
        self.fc1 = nn.Conv2d(width, inner, 1)
        self.fc2 = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * gate.sigmoid()


class ChannelMixer(nn.Module):
    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, expansion * width)
        self.conv2 = ConvNorm(expansion * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.gelu(self.conv1(x)))


class RepViTBlock(nn.Module):
    def __init__(self, width: int, expansion: int, squeeze: bool) -> None:
        super().__init__()
        self.token_mixer = DepthWise(width)
        self.se = SqueezeExcite(width) if squeeze else nn.Identity()
        self.channel_mixer = ChannelMixer(width, expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = self.se(self.token_mixer(x))
        return x + self.channel_mixer(x)


class Downsample(nn.Module):
    def __init__(self, inputs: int, outputs: int, expansion: int) -> None:
        super().__init__()
        self.pre_block = RepViTBlock(inputs, expansion, squeeze=False)
        self.spatial_downsample = ConvNorm(inputs, inputs, 3, 2, groups=inputs)
        self.channel_downsample = ConvNorm(inputs, outputs)
        self.ffn = ChannelMixer(outputs, expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = self.channel_downsample(self.spatial_downsample(self.pre_block(x)))
        return x + self.ffn(x)


class RepViTStage(nn.Module):
    """Every other block has a squeeze-and-excite, beginning with the first."""

    def __init__(self, inputs: int, outputs: int, depth: int, expansion: int, downsample: bool) -> None:
        super().__init__()
        self.downsample = Downsample(inputs, outputs, expansion) if downsample else nn.Identity()
        self.blocks = nn.Sequential(*(RepViTBlock(outputs, expansion, n % 2 == 0) for n in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))


class RepViT(nn.Module):
    """Pixels (B, 3, H, W) -> maps at strides 4, 8, 16 and 32."""

    def __init__(self, config: RepViTConfig | None = None) -> None:
        super().__init__()
        config = config or RepViTConfig()
        widths = config.widths
        self.stem = Stem(widths[0])
        for n, depth in enumerate(config.depths):
            stage = RepViTStage(widths[max(0, n - 1)], widths[n], depth, config.expansion, downsample=n > 0)
            self.add_module(f"stages_{n}", stage)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        x = self.stem(pixels.contiguous(memory_format=torch.channels_last))
        maps = []
        for n in range(4):
            x = getattr(self, f"stages_{n}")(x)
            maps.append(x)
        return maps
