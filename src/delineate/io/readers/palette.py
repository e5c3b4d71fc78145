"""The numbers of a palette picture as labels: those stored, unless the palette says that their order means nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.core.errors import Notice

SORTED = Notice(
    "W-PALETTE-ORDER", "The palette does not begin with black, which is in the picture: black is taken as background."
)


def label_numbers(picture: Image.Image) -> tuple[NDArray[np.uint8], tuple[Notice, ...]]:
    """Labels (height, width) of a picture with a palette, and what was decided.

    Label images have black, or a color that stands for it, at number 0. Programs that turn colors or grays into
    palettes number them as they come: white may be 0, and black 1. Grays out of order are then read as gray values, as
    the same picture without a palette is; of colors, the number of black becomes 0.
    """
    numbers = np.asarray(picture)
    palette = np.asarray(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = np.flatnonzero(np.bincount(numbers.ravel(), minlength=256))
    if not len(used) or used[-1] >= len(palette) or not palette[0].any():
        return numbers, ()
    colors = palette[used]
    black = used[~colors.any(axis=1)]
    if not len(black):
        return numbers, ()
    table: NDArray[Any] = np.arange(256, dtype=np.uint8)
    if (colors == colors[:, :1]).all():
        table[: len(palette)] = palette[:, 0]
    else:
        table[black], table[0] = 0, black[0]
    return table[numbers], (SORTED,)
