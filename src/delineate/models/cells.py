"""Some of the cells of an embedding: a decoder that is trained on every second cell each way costs a quarter.

Image-to-token attention, enlarging and the products that make masks work on each cell by itself, so that the logits of
the chosen cells are what they are among all of them, up to what the tokens saw: token-to-image attention, which looks
at the chosen cells alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Maps = TypeVar("Maps", Tensor, NDArray[np.bool_])


@dataclass(frozen=True)
class Cells:
    """Every ``stride``-th cell along each axis, from the one at (``row``, ``column``) on."""

    stride: int = 1
    row: int = 0
    column: int = 0

    @classmethod
    def drawn(cls, rng: np.random.Generator, stride: int) -> Self:
        row, column = (int(n) for n in rng.integers(stride, size=2)) if stride > 1 else (0, 0)
        return cls(stride, row, column)

    def of(self, maps: Tensor) -> Tensor:
        """(..., f, f) -> (..., f / stride, f / stride)."""
        return maps if self.stride == 1 else maps[..., self.row :: self.stride, self.column :: self.stride]

    def pixels(self, maps: Maps, f: int) -> Maps:
        """What lies in the cells: (..., k f, k f) of k pixels a cell -> (..., k f / stride, k f / stride)."""
        if self.stride == 1:
            return maps
        k, kept = maps.shape[-1] // f, maps.shape[-1] // self.stride
        parts = maps.reshape(*maps.shape[:-2], f, k, f, k)
        parts = parts[..., self.row :: self.stride, :, self.column :: self.stride, :]
        return parts.reshape(*maps.shape[:-2], kept, kept)

    def places(self, points: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        """Where points (..., 2), x and y among the pixels of the cells, k of them a cell, lie in the whole input."""
        first = np.array([self.column, self.row])
        return (points // k * self.stride + first) * k + points % k
