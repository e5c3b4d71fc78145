"""Space-depth transpose: the host's attention between slices (Medical SAM Adapter, arXiv 2304.12620 sec. 3.2)."""

from __future__ import annotations

from enum import StrEnum
from math import isqrt

from torch import Tensor, nn

from delineate.adapters.bottleneck import Bottleneck
from delineate.adapters.init import Init
from delineate.adapters.slots import Replaced, SlotContext


class DepthGrid(StrEnum):
    """How D slices lie before attention that knows rows and columns."""

    LINE = "line"  # one row
    SQUARE = "square"  # as near to a square as D can be divided
    REFERENCE = "reference"  # as the released code divides D


def depth_grid(slices: int, kind: DepthGrid) -> tuple[int, int]:
    """Rows and columns of D slices, rows x columns = D."""
    if kind is DepthGrid.LINE or slices == 1:
        return 1, slices
    rows = isqrt(slices)
    if kind is DepthGrid.SQUARE:
        while slices % rows:
            rows -= 1
        return rows, slices // rows
    columns = rows + 1
    while rows * columns != slices:
        rows, columns = (rows - 1, columns) if rows * columns > slices else (rows, columns + 1)
    return rows, columns


class DepthAttention(nn.Module):
    """A second pass through a block's attention, between the slices at each place; for ``Slot.ATTENTION_PARALLEL``.

    Tokens are regrouped before windows are cut: what comes out at a place comes from the D slices at that place alone,
    in every block. On a single picture (D = 1) it adds nothing. Where a host pools queries, what was found is pooled
    with them.
    """

    def __init__(
        self, width: int, ratio: float = 0.25, grid: DepthGrid = DepthGrid.LINE, activation: type[nn.Module] = nn.GELU,
        init: Init = Init.IDENTITY,
    ) -> None:  # fmt: skip
        super().__init__()
        self.adapter = Bottleneck(width, ratio, skip=False, activation=activation, init=init)
        self.grid = grid

    def forward(self, normed: Tensor, attention: Replaced, context: SlotContext) -> Tensor:
        """(clips x D, H, W, C) -> what is added after attention."""
        slices = context.depth
        if slices == 1:
            return attention.pooled(normed.new_zeros(*normed.shape[:3], self.adapter.up.out_features))
        lines = to_lines(normed, slices)
        rows, columns = depth_grid(slices, self.grid)
        mixed = self.adapter(attention.among(lines.unflatten(1, (rows, columns))).flatten(1, 2))
        return attention.pooled(from_lines(mixed, *normed.shape[1:3]))


def to_lines(tokens: Tensor, depth: int) -> Tensor:
    """Maps (clips x D, H, W, C) -> (clips x H x W, D, C): what follows each other at a place."""
    maps = tokens.unflatten(0, (-1, depth))
    return maps.permute(0, 2, 3, 1, 4).flatten(0, 2)


def from_lines(lines: Tensor, height: int, width: int) -> Tensor:
    """The other way round."""
    return lines.unflatten(0, (-1, height, width)).permute(0, 3, 1, 2, 4).flatten(0, 1)
