"""TinyViT-5M, the image encoder of MobileSAM and LiteMedSAM (Wu et al., ECCV 2022; arXiv 2306.14289 sec. 3).

Two convolutions, a stage of inverted bottlenecks, three stages of windowed attention, and SAM's neck. Module names
are those of the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.adapters.slots import NO_CONTEXT, EncoderSlot, Replaced, Slot, SlotContext, Slotted
from delineate.models.attention import bf16_is_used
from delineate.models.conv_norm import ConvNorm
from delineate.models.derived import Derived, untouched
from delineate.models.linear import Linear, fed_forward
from delineate.models.windows import cut, joined, overhangs

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
NARROW = TinyViTConfig(side=128, stem_kernel=1, widths=(32, 64, 96, 160))


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

    The rows of ``qkv`` are ordered head by head: query, key, value of head 0, then of head 1, and so on. Other grids
    than windows are taken too; what is further apart than a window is wide counts as that far.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = width // HEAD_WIDTH, window
        self.norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(self.heads, window * window))
        self.distance: Tensor
        self.register_buffer("distance", distances(window, window, window), persistent=False)
        self._bias = Derived()

    def forward(self, x: Tensor) -> Tensor:
        """Windows (B, window, window, C) or other grids, normed already -> the same."""
        return self.proj(self.mixed(self.qkv(x)))

    def in_windows(self, x: Tensor, window: int) -> Tensor:
        """The same in each window of a map (B, H, W, C).

        Windows are filled up with zeros before the norm, which makes them its bias, and take part, as published. Here
        only the map's own tokens are projected.
        """
        filling = self.qkv(self.norm.bias[None].to(x.dtype))[0]
        return self.proj(joined(self.mixed(cut(self.qkv(x), window, filling)), (x.shape[1], x.shape[2])))

    def mixed(self, qkv: Tensor) -> Tensor:
        """softmax(q k' + bias) v of windows (B, window, window, 3 C)."""
        b, h, w = qkv.shape[:3]
        q, k, v = qkv.view(b, h * w, self.heads, 3, HEAD_WIDTH).permute(3, 0, 2, 1, 4)
        bias = self._bias_of(h, w, q)
        if bf16_is_used(q):
            scores = q * HEAD_WIDTH**-0.5 @ k.transpose(-1, -2)
            scores += bias
            mixed = scores.softmax(dim=-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        return mixed.transpose(1, 2).reshape(b, h, w, -1)

    def _bias_of(self, h: int, w: int, q: Tensor) -> Tensor:
        """(heads, h w, h w) of a grid."""
        biases = self.attention_biases
        if (h, w) != (self.window, self.window):
            return biases[:, distances(h, w, self.window).to(biases.device)].to(q.dtype)
        distance = self.distance
        return self._bias.get(lambda: biases[:, distance].to(q.dtype), biases, key=(q.dtype, distance.device))


def distances(h: int, w: int, window: int) -> Tensor:
    """(h w, h w): which of a window's biases stands for each pair of places on a grid of h rows and w columns."""
    rows, columns = torch.arange(h).repeat_interleave(w), torch.arange(w).repeat(h)
    apart = [(one[:, None] - one[None]).abs().clamp(max=window - 1) for one in (rows, columns)]
    return apart[0] * window + apart[1]


class Mlp(nn.Module):
    """Of tokens that are normed already."""

    def __init__(self, width: int, expansion: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = Linear(width, expansion * width)
        self.fc2 = Linear(expansion * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return fed_forward(x, self.fc1, F.gelu, self.fc2)


class TinyViTBlock(Slotted):
    """Window attention, a depth-wise convolution over the whole map, an MLP; maps are (B, C, H, W), in slots last."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, window)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = Mlp(width)

    def widths(self, slot: StrEnum) -> tuple[int, int]:
        width = self.mlp.fc1.in_features
        return width, width

    def forward(self, x: Tensor, context: SlotContext = NO_CONTEXT) -> Tensor:
        x = self.through(Slot.BEFORE, x.permute(0, 2, 3, 1), context)
        normed = self.through(Slot.ATTENTION_INPUT, self.attn.norm(x), context)
        attention = Replaced(self.attn, self._windows)
        mixed = self.instead(Slot.ATTENTION, attention, normed, context)
        y = x + self.through(Slot.ATTENTION_OUTPUT, mixed, context)
        y = self.plus(Slot.ATTENTION_PARALLEL, y, normed, attention, context)
        y = self.through(Slot.BETWEEN, y, context)
        y = self.local_conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        normed = self.mlp.norm(y)
        z = self.plus(Slot.MLP_PARALLEL, y + self.mlp(normed), y, normed, context)
        return self.through(Slot.AFTER, z, context).permute(0, 3, 1, 2)

    def _windows(self, x: Tensor) -> Tensor:
        """Attention of normed tokens (B, H, W, C) in every window."""
        if overhangs(x, self.window) and untouched(WindowAttention, self.attn):
            return self.attn.in_windows(x, self.window)
        return joined(self.attn(cut(x, self.window, self.attn.norm.bias)), (x.shape[1], x.shape[2]))


class Stage(nn.Module):
    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor, context: SlotContext = NO_CONTEXT) -> Tensor:
        """``context`` is that of its first block."""
        for number, block in enumerate(self.blocks):
            if isinstance(block, Slotted):
                here = context.at(context.block + number, x.shape[2:])
                x = block(x, here)
                here.tapped(x.permute(0, 2, 3, 1))
            else:
                x = block(x)
        return x if self.downsample is None else self.downsample(x)


class LayerNorm2d(nn.Module):
    """Normalizes over channels of (B, C, H, W)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)


class TinyViT(Slotted):
    """Pixels (B, 3, side, side) -> embedding (B, 256, f, f), f = side / 16, for LiteMedSAM side / 4."""

    offers = tuple(EncoderSlot)

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

    def widths(self, slot: StrEnum) -> tuple[int, int]:
        widths = self.config.widths
        return (3, widths[0]) if slot is EncoderSlot.STEM else (widths[3], self.config.out_channels)

    def forward(self, pixels: Tensor, context: SlotContext = NO_CONTEXT) -> Tensor:
        stem, neck = Replaced(self.patch_embed, self._stem), Replaced(self.neck, self._neck)
        x = self.instead(EncoderSlot.STEM, stem, pixels, context).permute(0, 3, 1, 2)
        block = 0
        for stage, depth in zip(self.layers, (0, *self.config.depths[1:]), strict=True):
            x = stage(x, context.at(block, x.shape[2:]))
            block += depth  # of blocks with attention, which the first stage has none of
        return self.instead(EncoderSlot.NECK, neck, x.permute(0, 2, 3, 1), context)

    def _stem(self, pixels: Tensor) -> Tensor:
        return self.patch_embed(pixels.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)

    def _neck(self, x: Tensor) -> Tensor:
        return self.neck(x.permute(0, 3, 1, 2))
