"""TinyViT-5M, the image encoder of MobileSAM and LiteMedSAM (Wu et al., ECCV 2022; arXiv 2306.14289 sec. 3).

Two convolutions, a stage of inverted bottlenecks, three stages of windowed attention, and SAM's neck. Module names
are those of the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.models.attention import two_products_pay
from delineate.models.conv_norm import ConvNorm
from delineate.models.derived import Derived

HEAD_WIDTH = 32


@dataclass(frozen=True)
class TinyViTConfig:
    """Sizes of TinyViT.

    side         pixels along a side of the input
    stem_kernel  3: two convolutions of stride 2 (MobileSAM, 1024 px); 1: pixel-wise, stride 1 (LiteMedSAM, 256 px)
    """

    side: int = 1024
    stem_kernel: int = 3
    widths: tuple[int, int, int, int] = (64, 128, 160, 320)
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    windows: tuple[int, int, int, int] = (7, 7, 14, 7)
    out_channels: int = 256


MOBILE = TinyViTConfig()
LITE = TinyViTConfig(side=256, stem_kernel=1)


class Stem(nn.Module):
    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        stride = 2 if kernel == 3 else 1
        self.seq = nn.Sequential(
            ConvNorm(3, width // 2, kernel, stride), nn.GELU(), ConvNorm(width // 2, width, kernel, stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.seq(x)


class InvertedBottleneck(nn.Module):
    """Widen, depth-wise, narrow; the activation comes after the sum."""

    def __init__(self, width: int, expansion: int = 4) -> None:
        super().__init__()
        inner = width * expansion
        self.conv1 = ConvNorm(width, inner)
        self.conv2 = ConvNorm(inner, inner, 3, groups=inner)
        self.conv3 = ConvNorm(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(x + self.conv3(inner))


class Merge(nn.Module):
    """Change of width between stages, at half the resolution or the same."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, 3, stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class WindowAttention(nn.Module):
    """Attention within a window, with a learned bias for each distance between rows and columns.

    The rows of ``qkv`` are ordered head by head: query, key, value of head 0, then of head 1, and so on.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(self.heads, window * window))
        rows = torch.arange(window).repeat_interleave(window)
        columns = torch.arange(window).repeat(window)
        distance = (rows[:, None] - rows[None]).abs() * window + (columns[:, None] - columns[None]).abs()
        self.distance: Tensor
        self.register_buffer("distance", distance, persistent=False)
        self._bias = Derived()

    def forward(self, x: Tensor) -> Tensor:
        """Windows (B, window², C) -> the same."""
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, n, self.heads, 3, HEAD_WIDTH).permute(3, 0, 2, 1, 4)
        biases, distance = self.attention_biases, self.distance
        bias = self._bias.get(lambda: biases[:, distance].to(q.dtype), biases, key=(q.dtype, distance.device))
        if two_products_pay(q):
            scores = q * HEAD_WIDTH**-0.5 @ k.transpose(-1, -2)
            scores += bias
            mixed = scores.softmax(dim=-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        return self.proj(mixed.transpose(1, 2).reshape(b, n, c))


class Mlp(nn.Module):
    def __init__(self, width: int, expansion: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, expansion * width)
        self.fc2 = nn.Linear(expansion * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class TinyViTBlock(nn.Module):
    """Window attention, a depth-wise convolution over the whole map, an MLP; maps are (B, C, H, W)."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, window)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._windows(x)
        x = self.local_conv(x)
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _windows(self, x: Tensor) -> Tensor:
        """Attention in every window; the map is padded with zeros, which take part (no mask), as published."""
        b, c, h, w = x.shape
        s = self.window
        rows, columns = (h + s - 1) // s, (w + s - 1) // s
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, columns * s - w, 0, rows * s - h))
        cut = padded.view(b, rows, s, columns, s, c).transpose(2, 3).reshape(-1, s * s, c)
        mixed = self.attn(cut).view(b, rows, columns, s, s, c).transpose(2, 3)
        return mixed.reshape(b, rows * s, columns * s, c)[:, :h, :w].permute(0, 3, 1, 2)


class Stage(nn.Module):
    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class LayerNorm2d(nn.Module):
    """Normalises over channels of (B, C, H, W)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)


class TinyViT(nn.Module):
    """Pixels (B, 3, side, side) -> embedding (B, 256, f, f), f = side / 16, for LiteMedSAM side / 4."""

    def __init__(self, config: TinyViTConfig = MOBILE) -> None:
        super().__init__()
        self.config = config
        w, d, windows = config.widths, config.depths, config.windows
        strides = (2, 2, 1)  # the last merge keeps the resolution
        self.patch_embed = Stem(w[0], config.stem_kernel)
        stages: list[nn.Module] = []
        for n in range(4):
            blocks: list[nn.Module] = [
                InvertedBottleneck(w[0]) if n == 0 else TinyViTBlock(w[n], windows[n]) for _ in range(d[n])
            ]
            stages.append(Stage(blocks, Merge(w[n], w[n + 1], strides[n]) if n < 3 else None))
        self.layers = nn.ModuleList(stages)
        out = config.out_channels
        self.neck = nn.Sequential(
            nn.Conv2d(w[3], out, 1, bias=False),
            LayerNorm2d(out),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            LayerNorm2d(out),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patch_embed(pixels.contiguous(memory_format=torch.channels_last))
        for stage in self.layers:
            x = stage(x)
        return self.neck(x)
