"""A frame with rulers in the numbers that prompts are given in, so that one can point without a viewer."""

from __future__ import annotations

from typing import Final

from PIL import Image, ImageDraw

from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Color
from delineate.io.frame_view import INK, FrameView, font, write
from delineate.preprocess.display import display_window

LINE_APART: Final = 60  # pixels of the picture between two lines at least
STEPS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
LEFT, TOP, TEXT = 58, 62, 15  # margins and letters, pixels
LINE: Final[Color] = (255, 214, 0)


def ruler_picture(scan: Scan, frame: int | None = None) -> Image.Image:
    """The middle frame of a scan, or the one that is asked for, right way up, with rulers along x and y.

    Raises InputError for a frame that there is not.
    """
    number = len(scan) // 2 if frame is None else frame
    view = FrameView.of(scan, least=800)
    image = view.picture(scan, number, display_window(scan))
    pen = ImageDraw.Draw(image)
    view.letters(pen, 22)
    sheet = Image.new("RGB", (view.width + LEFT + 12, view.height + TOP + 12), INK)
    grid = Image.new("L", image.size, 0)
    lines = ImageDraw.Draw(grid)
    ruler = ImageDraw.Draw(sheet)
    step_x, step_y = _step(view.across), _step(view.down)
    for x in range(0, scan.width, step_x):
        u, _ = view.place(x, 0)
        lines.line([(u, 0), (u, view.height)], fill=95)
        _number(ruler, (LEFT + u, TOP - 8), str(x), "ms", (LEFT + u, TOP - 5, LEFT + u, TOP))
    for y in range(0, scan.height, step_y):
        _, v = view.place(0, y)
        lines.line([(0, v), (view.width, v)], fill=95)
        _number(ruler, (LEFT - 8, TOP + v), str(y), "rm", (LEFT - 5, TOP + v, LEFT, TOP + v))
    image.paste(Image.new("RGB", image.size, LINE), (0, 0), grid)
    sheet.paste(image, (LEFT, TOP))
    write(ruler, (LEFT, 8), _title(scan, number), TEXT + 2)
    write(ruler, (10, TOP - 24), _arrow("x", "y", view), TEXT, LINE)
    return sheet


def _number(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, anchor: str, tick: tuple[float, float, float, float]
) -> None:
    pen.text(at, text, fill=LINE, font=font(TEXT), anchor=anchor)
    pen.line(tick, fill=LINE)


def _step(pixels: float) -> int:
    """Frame pixels between two lines."""
    return next((step for step in STEPS if step * pixels >= LINE_APART), STEPS[-1])


def _title(scan: Scan, number: int) -> str:
    """Which frame this is, and what the rulers count."""
    if scan.kind is ScanKind.IMAGE:
        return "--box x0,y0,x1,y1   --point x,y"
    where = f"{scan.frame_word} {number} of 0 to {len(scan) - 1}"
    if scan.kind is ScanKind.VOLUME:
        x, y = (scan.grid.axes[axis] for axis in scan.frame_axes)
        where += f" along {scan.grid.axes[scan.slice_axis]};  x is {x}, y is {y}"
    return f"{where}   --frame {number} --box x0,y0,x1,y1"


def _arrow(x: str, y: str, view: FrameView) -> str:
    """Which way the numbers grow."""
    return f"{x}{'<' if view.turned_x else '>'} {y}{'^' if view.turned_y else 'v'}"
