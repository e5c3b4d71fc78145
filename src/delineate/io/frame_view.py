"""A frame as people look at it: true proportions, turned as radiologists do, and where each pixel went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from delineate.core.errors import InputError
from delineate.core.grid import Placement
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Color
from delineate.preprocess.display import shown

INK: Final[Color] = (18, 20, 24)
PAPER: Final[Color] = (225, 228, 232)
OPPOSITE: Final = dict(zip("LRPAIS", "RLAPSI", strict=True))


@dataclass(frozen=True)
class FrameView:
    """How the frames of a scan are laid out in pictures.

    width, height  of the picture, pixels
    across, down   pixels of the picture for a pixel of the frame
    turned_x, turned_y  whether the picture runs against the frame's x and y
    right, bottom  which side of the body the right and the lower edge of the picture are, "" where unknown
    """

    width: int
    height: int
    across: float
    down: float
    turned_x: bool = False
    turned_y: bool = False
    right: str = ""
    bottom: str = ""

    @classmethod
    def of(cls, scan: Scan, least: int = 512) -> Self:
        """No pixel of a frame is lost; the longer side has at least ``least`` pixels."""
        spacing = scan.frame_spacing if scan.kind is not ScanKind.VIDEO else (1.0, 1.0)
        finest = min(spacing)
        wide, high = scan.width * spacing[0] / finest, scan.height * spacing[1] / finest
        scale = max(1.0, least / max(wide, high))
        width, height = max(1, round(wide * scale)), max(1, round(high * scale))
        right = bottom = ""
        if scan.grid.placement is Placement.WORLD and scan.kind is ScanKind.VOLUME:
            right, bottom = (scan.grid.axis_codes[axis] for axis in scan.frame_axes)
        turned_x, turned_y = right in ("R", "P"), bottom in ("A", "S")
        if turned_x:
            right = OPPOSITE[right]
        if turned_y:
            bottom = OPPOSITE[bottom]
        return cls(width, height, width / scan.width, height / scan.height, turned_x, turned_y, right, bottom)

    @property
    def left(self) -> str:
        return OPPOSITE.get(self.right, "")

    @property
    def top(self) -> str:
        return OPPOSITE.get(self.bottom, "")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where the middle of a frame's pixel lies in the picture."""
        return self.edge(x + 0.5, y + 0.5)

    def edge(self, x: float, y: float) -> tuple[float, float]:
        """Where a corner lies, as boxes count: 0, 0 is the outer corner of the first pixel."""
        u, v = x * self.across, y * self.down
        return (self.width - u if self.turned_x else u), (self.height - v if self.turned_y else v)

    def turned(self, image: Image.Image) -> Image.Image:
        """A picture that runs with the frame's x and y, as it is looked at."""
        if self.turned_x:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if self.turned_y else image

    def picture(self, scan: Scan, frame: int, window: tuple[float, float]) -> Image.Image:
        """One frame without anything drawn on it."""
        image = Image.fromarray(shown_frame(scan, frame, window))
        return self.turned(image.resize((self.width, self.height), Image.Resampling.BICUBIC))

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask (height, width) of the frame at the picture's size, its outline as sharp as its pixels."""
        image = Image.fromarray(mask.astype(np.uint8) * 255)
        return np.asarray(self.turned(image.resize((self.width, self.height), Image.Resampling.NEAREST))) > 0

    def letters(self, pen: ImageDraw.ImageDraw, size: int = 16) -> None:
        """The sides of the body at the four edges, where they are known."""
        if not (self.right and self.bottom):
            return
        middle, center = self.height // 2, self.width // 2
        write(pen, (self.width - size, middle), self.right, size, anchor="mm")
        write(pen, (size, middle), self.left, size, anchor="mm")
        write(pen, (center, self.height - size), self.bottom, size, anchor="mm")
        write(pen, (center, size), self.top, size, anchor="mm")


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def wrapped(pen: ImageDraw.ImageDraw, text: str, size: int, width: float) -> list[str]:
    """A text in lines of a width at most; a word that is longer has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and pen.textlength(longer, font=font(size)) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def write(
    pen: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    color: Color = PAPER,
    anchor: str = "la",
) -> float:
    """Text that can be read on any ground; returns its width."""
    pen.text(at, text, fill=color, font=font(size), stroke_width=2, stroke_fill=INK, anchor=anchor)
    return float(pen.textlength(text, font=font(size)))


def shown_frame(scan: Scan, frame: int, window: tuple[float, float]) -> NDArray[np.uint8]:
    """A frame as RGB (height, width, 3); where it cannot be read, a dark one that says so, as others are to be seen.

    Raises InputError for a frame that there is not.
    """
    try:
        return shown(scan.pixels(frame), window)
    except InputError:
        if not 0 <= frame < len(scan):
            raise
        blank = Image.new("RGB", (scan.width, scan.height), INK)
        write(ImageDraw.Draw(blank), (6, 24), f"{scan.frame_word} {frame} cannot be read", 14)
        return np.asarray(blank)
