"""Sizes of the published DINOv2 and DINOv3 networks. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from delineate.models.variants import DinoVariant

TRAINED_SIDE = 518  # pixels along a side that DINOv2's positions belong to


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
