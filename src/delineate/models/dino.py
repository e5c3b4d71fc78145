"""DINOv2 and DINOv3 as encoders of features.

Oquab et al., arXiv 2304.07193; with registers: Darcet et al., arXiv 2309.16588; DINOv3: Simeoni et al., 2508.10104.
The networks are those of ``transformers``. Where DINOv2 has no registers its authors resize the table of positions by a
factor that is a little too large; everything published on top of it saw those positions, so they are the default here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
)
from transformers.models.dinov2.modeling_dinov2 import Dinov2Embeddings

from delineate.core.errors import ModelError
from delineate.models.hosts import open_host
from delineate.models.variants import DinoVariant, PositionInterpolation

TRAINED_SIDE = 518  # pixels along a side that DINOv2's positions belong to
OFFSET = 0.1  # cells that its authors add before they divide


@dataclass(frozen=True)
class DinoShape:
    """What is needed to build one.

    width, depth, heads  of the transformer
    patch      pixels along a side of a token
    registers  tokens beside the class token that are no patches
    gated      whether its MLPs are gated (SwiGLU)
    rotary     positions turn queries and keys (DINOv3); else a table of them is added (DINOv2)
    inner      width between the layers of an MLP of DINOv3; 0: four times the width
    side       pixels that the table of positions belongs to
    """

    width: int
    depth: int
    heads: int
    patch: int = 14
    registers: int = 0
    gated: bool = False
    rotary: bool = False
    inner: int = 0
    side: int = TRAINED_SIDE


_V2 = {
    "s": DinoShape(384, 12, 6),
    "b": DinoShape(768, 12, 12),
    "l": DinoShape(1024, 24, 16),
    "g": DinoShape(1536, 40, 24, gated=True),
}
_v3 = partial(DinoShape, patch=16, registers=4, rotary=True)
DINO_SHAPES = {
    **{DinoVariant(f"dinov2_vit{size}14"): shape for size, shape in _V2.items()},
    **{DinoVariant(f"dinov2_vit{size}14_reg"): replace(shape, registers=4) for size, shape in _V2.items()},
    DinoVariant.V3_S: _v3(384, 12, 6),
    DinoVariant.V3_S_PLUS: _v3(384, 12, 6, gated=True, inner=1536),
    DinoVariant.V3_B: _v3(768, 12, 12),
    DinoVariant.V3_L: _v3(1024, 24, 16),
    DinoVariant.V3_H_PLUS: _v3(1280, 32, 20, gated=True, inner=5120),
}


class OffsetPositions(Dinov2Embeddings):
    """Tokens with positions as DINOv2's authors resize them."""

    def interpolate_pos_encoding(self, embeddings: Tensor, height: int, width: int) -> Tensor:
        """The table for pictures of that size: (1, 1 + cells, C)."""
        table = self.position_embeddings
        trained = round((table.shape[1] - 1) ** 0.5)
        patch = self.patch_embeddings.projection.kernel_size
        rows, columns = height // patch[0], width // patch[1]
        if rows == columns == trained:
            return table
        grid = table[:, 1:].reshape(1, trained, trained, -1).permute(0, 3, 1, 2).float()
        factors = ((rows + OFFSET) / trained, (columns + OFFSET) / trained)
        resized = F.interpolate(grid, scale_factor=factors, mode="bicubic")
        return torch.cat((table[:, :1], resized.flatten(2).transpose(1, 2).to(table.dtype)), dim=1)


class DinoEncoder(nn.Module):
    """Pixels (B, 3, H, W), sides multiples of ``patch`` -> features (B, C, H / patch, W / patch).

    Features are the patch tokens of the last block after the final layer norm; class and register tokens are left out.
    ``host`` holds the network under the host library's key names.
    """

    def __init__(self, shape: DinoShape, positions: PositionInterpolation = PositionInterpolation.OFFSET) -> None:
        super().__init__()
        self.shape = shape
        self.host: nn.Module = _host(shape)
        open_host(self.host)
        if positions is PositionInterpolation.OFFSET and not (shape.rotary or shape.registers):
            self.host.embeddings.__class__ = OffsetPositions

    @property
    def channels(self) -> int:
        return self.shape.width

    @property
    def patch(self) -> int:
        return self.shape.patch

    def forward(self, pixels: Tensor) -> Tensor:
        patch, (height, width) = self.shape.patch, pixels.shape[-2:]
        if height % patch or width % patch:
            raise ModelError(
                "E-MODEL-SIZE",
                f"The picture has {height} x {width} pixels, no multiple of {patch}.",
                f"Resize it to {height // patch * patch} x {width // patch * patch} first.",
            )
        tokens = self.host(pixels).last_hidden_state[:, 1 + self.shape.registers :]
        return tokens.transpose(1, 2).reshape(len(pixels), -1, height // patch, width // patch)


def _host(shape: DinoShape) -> nn.Module:
    sizes: dict[str, Any] = {
        "hidden_size": shape.width,
        "num_hidden_layers": shape.depth,
        "num_attention_heads": shape.heads,
        "patch_size": shape.patch,
    }
    if shape.rotary:
        inner = shape.inner or 4 * shape.width
        act = "silu" if shape.gated else "gelu"
        return DINOv3ViTModel(
            DINOv3ViTConfig(
                **sizes,
                intermediate_size=inner,
                use_gated_mlp=shape.gated,
                hidden_act=act,
                num_register_tokens=shape.registers,
            )
        )
    sizes |= {"image_size": shape.side, "use_swiglu_ffn": shape.gated}
    if shape.registers:
        return Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**sizes, num_register_tokens=shape.registers))
    return Dinov2Model(Dinov2Config(**sizes))
