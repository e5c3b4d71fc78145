"""A picture of one frame under every corruption, to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from delineate.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupted

CAPTION = 16  # pixels above each row


def corruption_sheet(frame: NDArray[np.uint8], width: int = 200, seed: int = 0) -> Image.Image:
    """One row a corruption: the frame (height, width[, 3]) as it is, then severities 1 to 5.

    width  of a tile, pixels. The frame is spoilt at its own size and shrunk then.
    """
    picture = np.asarray(frame, dtype=np.float32) / np.float32(255)
    height = round(width * frame.shape[0] / frame.shape[1])
    sheet = Image.new("RGB", (width * (len(SEVERITIES) + 1), (height + CAPTION) * len(CORRUPTIONS)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, corruption) in enumerate(CORRUPTIONS.items()):
        top = row * (height + CAPTION)
        draw.text((4, top + 2), f"{name}: {corruption.about}", fill="black", font_size=11)
        for column in range(len(SEVERITIES) + 1):
            spoilt = corrupted(picture, name, column, seed) if column else picture
            tile = Image.fromarray((spoilt * 255).round().astype(np.uint8)).convert("RGB")
            tile = tile.resize((width, height), Image.Resampling.BOX)
            sheet.paste(tile, (column * width, top + CAPTION))
    return sheet
