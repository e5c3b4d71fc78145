"""One picture of many targets with their outlines, the doubtful first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.io.atomic import replacing
from delineate.io.frame_view import INK, write
from delineate.io.overlay import frame_tile
from delineate.io.own_files import png_mark, seal

TILE = 240  # pixels along the longer side
COLUMNS, MOST = 6, 120
NEAR = 0.05  # margin below which a target is doubtful
DOUBTFUL, FINE = (240, 150, 60), (120, 200, 130)


@dataclass(frozen=True)
class SheetEntry:
    """A target on the sheet.

    picture     file with its tile; None for a target that was left out
    caption     its name
    margin      similarity over the threshold, of its most doubtful structure: below 0 it was not found
    about       what is written below the name
    confidence  in the outline of that structure
    """

    picture: Path | None
    caption: str
    margin: float
    about: str
    confidence: float = 0.0

    @property
    def doubtful(self) -> bool:
        """Whether a person has to decide if the structure is there."""
        return self.margin < NEAR

    @property
    def place(self) -> tuple[bool, float]:
        """By which it is sorted: what is doubtful first, nearest to the threshold; then the least confident."""
        return not self.doubtful, abs(self.margin) if self.doubtful else self.confidence


def save_tile(scan: Scan, outlines: Segmentation, frame: int, path: Path) -> None:
    """The picture of one target, small."""
    picture = frame_tile(scan, outlines, frame)
    picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    picture.save(path, "PNG", pnginfo=png_mark())


def save_sheet(entries: Sequence[SheetEntry], path: Path) -> None:
    """All targets, those nearest to the threshold first; what was outlined with most confidence comes last."""
    ordered = sorted(entries, key=lambda one: one.place)[:MOST]
    columns = max(1, min(COLUMNS, round(len(ordered) ** 0.5 * 1.25)))
    rows = max(1, -(-len(ordered) // columns))
    gap, below = 8, 40
    sheet = Image.new("RGB", (columns * (TILE + gap) + gap, rows * (TILE + below + gap) + gap), INK)
    pen = ImageDraw.Draw(sheet)
    for n, one in enumerate(ordered):
        x, y = gap + n % columns * (TILE + gap), gap + n // columns * (TILE + below + gap)
        if one.picture is not None and one.picture.is_file():
            with Image.open(one.picture) as picture:
                tile = picture.convert("RGB")
                sheet.paste(tile, (x + (TILE - tile.width) // 2, y + (TILE - tile.height) // 2))
        color = DOUBTFUL if one.doubtful else FINE
        pen.rectangle([x - 2, y - 2, x + TILE + 1, y + TILE + 1], outline=color, width=2)
        write(pen, (x, y + TILE + 3), _cut(one.caption, 32), 13)
        write(pen, (x, y + TILE + 20), _cut(one.about, 36), 12)
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG", pnginfo=png_mark())
        seal(temporary)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
