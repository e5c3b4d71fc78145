"""Sizes of networks that are no published ones, as files say them. Free of torch."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Side = Annotated[int, Field(ge=1, le=64)]  # of a window or table, in cells
Blocks = Annotated[int, Field(ge=1, le=96)]


class VitSizes(BaseModel):
    """Of a ViT that is no published one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(ge=8, le=4096)
    depth: Blocks
    heads: int = Field(ge=1, le=64)
    global_blocks: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _require_whole(self.width, self.heads, self.depth, self.global_blocks)
        return self


class HieraSizes(BaseModel):
    """Of a Hiera that is no published one; width and heads are those of the first stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(ge=8, le=4096)
    heads: int = Field(ge=1, le=64)
    stages: tuple[Blocks, Blocks, Blocks, Blocks]
    global_blocks: tuple[int, ...] = ()
    windows: tuple[Side, Side, Side, Side]
    background: Side = 7

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _require_whole(self.width, self.heads, sum(self.stages), self.global_blocks)
        if any(side % 2 for side in self.windows[:3]):
            raise ValueError("windows whose queries are pooled have even sides")
        return self


def _require_whole(width: int, heads: int, blocks: int, global_blocks: tuple[int, ...]) -> None:
    """Raise ValueError for sizes no network can have."""
    if width % heads:
        raise ValueError(f"a width of {width} cannot be shared by {heads} heads")
    if not set(global_blocks) <= set(range(blocks)):
        raise ValueError(f"blocks {global_blocks} of {blocks}")


class NetworkSizes(BaseModel):
    """Of a network, where they are not the published ones.

    side   pixels along a side of the input
    depth  frames of a clip, or slices, that are seen together
    vit    of its ViT
    hiera  of its Hiera
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int | None = Field(default=None, ge=32, le=4096, multiple_of=16)
    depth: int | None = Field(default=None, ge=1, le=512)
    vit: VitSizes | None = None
    hiera: HieraSizes | None = None

    @property
    def is_published(self) -> bool:
        """Whether the image encoder is the published one, so that published weights fit into it."""
        return self.vit is None and self.hiera is None


# Of every kind of encoder that can be small: each network takes its own
NARROW = NetworkSizes(
    side=64,
    depth=5,
    vit=VitSizes(width=96, depth=4, heads=4, global_blocks=(0, 1, 2, 3)),
    hiera=HieraSizes(width=32, heads=1, stages=(1, 1, 3, 1), global_blocks=(3, 4), windows=(8, 4, 4, 2)),
)
