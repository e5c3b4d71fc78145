"""Sizes of networks that are no published ones, as files say them. Free of torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class VitSizes(BaseModel):
    """Of a ViT that is no published one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(ge=8, le=4096)
    depth: int = Field(ge=1, le=96)
    heads: int = Field(ge=1, le=64)
    global_blocks: tuple[int, ...] = ()


class NetworkSizes(BaseModel):
    """Of a network, where they are not the published ones.

    side   pixels along a side of the input
    depth  frames of a clip, or slices, that are seen together
    vit    of its ViT
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int | None = Field(default=None, ge=32, le=4096)
    depth: int | None = Field(default=None, ge=1, le=512)
    vit: VitSizes | None = None


NARROW = NetworkSizes(side=64, depth=5, vit=VitSizes(width=96, depth=4, heads=4, global_blocks=(0, 1, 2, 3)))
