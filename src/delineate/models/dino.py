"""DINOv2 and DINOv3 as encoders of features.

Oquab et al., arXiv 2304.07193; with registers: Darcet et al., arXiv 2309.16588; DINOv3: Simeoni et al., 2508.10104.
The networks are those of ``transformers``. Where DINOv2 has no registers its authors resize the table of positions by a
factor that is a little too large; everything published on top of it saw those positions, so they are the default here.
"""

from __future__ import annotations

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
from transformers.models.dinov2.modeling_dinov2 import Dinov2Embeddings, Dinov2Layer
from transformers.models.dinov2_with_registers.modeling_dinov2_with_registers import Dinov2WithRegistersLayer
from transformers.models.dinov3_vit.modeling_dinov3_vit import DINOv3ViTLayer

from delineate.core.errors import ModelError
from delineate.models.dino_shapes import DINO_SHAPES as DINO_SHAPES
from delineate.models.dino_shapes import DinoShape as DinoShape
from delineate.models.hosts import open_host
from delineate.models.variants import PositionInterpolation

OFFSET = 0.1  # cells that its authors add before they divide
DINO_BLOCKS = (Dinov2Layer, Dinov2WithRegistersLayer, DINOv3ViTLayer)


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
