"""Maps cut into square windows, the last ones filled up, and put together again."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.models.derived import recorded


def cut(x: Tensor, size: int, filling: Tensor | None = None) -> Tensor:
    """A map (B, H, W, C) -> windows (B x windows, size, size, C), row by row.

    filling  (C,), what stands where a window reaches beyond the map; None: zeros
    """
    b, h, w, c = x.shape
    x = filled(x, (size - h % size) % size, (size - w % size) % size, filling)
    rows, columns = x.shape[1] // size, x.shape[2] // size
    return x.view(b, rows, size, columns, size, c).transpose(2, 3).reshape(-1, size, size, c)


def overhangs(x: Tensor, size: int) -> bool:
    """Whether windows reach beyond a map (B, H, W, C)."""
    return x.shape[1] % size > 0 or x.shape[2] % size > 0


def joined(windows: Tensor, sides: tuple[int, int]) -> Tensor:
    """Windows (B x windows, size, size, C) -> the map (B, H, W, C) they were cut from, ``sides`` being H and W."""
    size, c = windows.shape[1], windows.shape[3]
    rows, columns = ((side + size - 1) // size for side in sides)  # exporters divide negative numbers otherwise
    x = windows.view(-1, rows, columns, size, size, c).transpose(2, 3).reshape(-1, rows * size, columns * size, c)
    return x[:, : sides[0], : sides[1]]


def filled(x: Tensor, rows: int, columns: int, value: Tensor | None) -> Tensor:
    """Maps (B, H, W, C) with more rows and columns, all of one value (C,)."""
    if not (rows or columns):
        return x
    if value is None:
        return F.pad(x, (0, 0, 0, columns, 0, rows))
    b, h, w, c = x.shape
    value = value.to(x.dtype)
    if recorded():
        x = torch.cat([x, value.expand(b, rows, w, c)], dim=1)
        return torch.cat([x, value.expand(b, h + rows, columns, c)], dim=2)
    out = x.new_empty(b, h + rows, w + columns, c)
    out[:, :h, :w] = x
    out[:, h:] = value
    out[:, :h, w:] = value
    return out
