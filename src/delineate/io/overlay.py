"""Pictures of outlines: one frame, a contact sheet of a scan, a film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from delineate.core.grid import Placement
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation
from delineate.io.own_files import MARK, png_mark
from delineate.preprocess.display import display_window, shown

TILE = 340  # pixels along the longer side of a contact sheet's pictures
TILES = 12
INK = (18, 20, 24)
PAPER = (225, 228, 232)
FILL = 0.25  # opacity of the inside
_OPPOSITE = dict(zip("LRPAIS", "RLAPSI", strict=True))


def overlay_frame(scan: Scan, segmentation: Segmentation, frame: int, window: tuple[float, float]) -> NDArray[np.uint8]:
    """One frame with its outlines, (height, width, 3) uint8, at the frame's own resolution."""
    return _painted(shown(scan.pixels(frame), window), segmentation, frame, 1)


def save_preview(scan: Scan, segmentation: Segmentation, path: Path) -> None:
    """The picture beside an output: the image with its outlines, or a contact sheet of a volume or video."""
    contact_sheet(scan, segmentation).save(path, "PNG", pnginfo=png_mark())


def contact_sheet(scan: Scan, segmentation: Segmentation) -> Image.Image:
    """Up to TILES frames spread over the objects' extent, as in a light box: right pixel shape, body sides marked."""
    window = display_window(scan)
    numbers = _telling_frames(segmentation)
    tiles = [_tile(scan, segmentation, number, window) for number in numbers]
    columns = min(len(tiles), 4 if len(tiles) > 3 else len(tiles))
    rows = -(-len(tiles) // columns)
    width, height = max(t.width for t in tiles), max(t.height for t in tiles)
    gap, legend = 8, 34
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap + legend), INK)
    for n, tile in enumerate(tiles):
        sheet.paste(tile, (gap + n % columns * (width + gap), gap + n // columns * (height + gap)))
    _legend(sheet, segmentation, scan, sheet.height - legend)
    return sheet


def frame_tile(scan: Scan, segmentation: Segmentation, frame: int) -> Image.Image:
    """One frame as it stands on a contact sheet."""
    return _tile(scan, segmentation, frame, display_window(scan))


def save_film(scan: Scan, segmentation: Segmentation, path: Path, rate: float | None = None) -> None:
    """The video with its outlines as MP4 (H.264); one frame in memory at a time."""
    window = display_window(scan)
    if rate is None:
        times = scan.times
        rate = (len(times) - 1) / (times[-1] - times[0]) if times and len(times) > 1 and times[-1] > times[0] else 20.0
    with av.open(str(path), "w", format="mp4") as film:
        film.metadata["comment"] = MARK
        stream = film.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000))
        stream.width, stream.height = scan.width // 2 * 2, scan.height // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast", "threads": "1"}
        for number in range(len(scan)):
            picture = overlay_frame(scan, segmentation, number, window)[: stream.height, : stream.width]
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        film.mux(stream.encode())


def _telling_frames(segmentation: Segmentation) -> list[int]:
    """Frames spread evenly over where there is something to see."""
    seen = sorted({f for o in segmentation.objects for f in o.frames}) or [len(segmentation) // 2]
    picks = np.linspace(0, len(seen) - 1, min(TILES, len(seen))).round().astype(int)
    return [seen[n] for n in np.unique(picks)]


def _painted(picture: NDArray[np.uint8], segmentation: Segmentation, frame: int, zoom: int) -> NDArray[np.uint8]:
    """Inside tinted, outline drawn; ``picture`` may be ``zoom`` times the frame's size."""
    out = picture.astype(np.float32)
    height, width = segmentation.frame_shape
    thick = 2 if zoom * max(height, width) >= 300 else 1
    for one in segmentation.objects:
        box = one.masks[frame].box if frame in one.masks else None
        if box is None:
            continue
        x0, y0, x1, y1 = max(0, box[0] - thick), max(0, box[1] - thick), box[2] + thick, box[3] + thick
        mask = one.masks[frame].columns(x0, min(x1, width))[y0:y1]
        if zoom > 1:
            mask = np.kron(mask, np.ones((zoom, zoom), bool))
        edge = mask & ~ndimage.binary_erosion(mask, iterations=thick, border_value=1)
        color = np.array(one.color, np.float32)
        part = out[y0 * zoom : y1 * zoom, x0 * zoom : x1 * zoom]
        part[mask] = part[mask] * (1 - FILL) + color * FILL
        part[edge] = color
    return out.round().astype(np.uint8)


def _tile(scan: Scan, segmentation: Segmentation, frame: int, window: tuple[float, float]) -> Image.Image:
    """One labeled picture: enlarged, pixels in their true proportion, turned as radiologists look at it."""
    zoom = max(1, round(TILE / max(scan.width, scan.height)))
    picture = np.kron(shown(scan.pixels(frame), window), np.ones((zoom, zoom, 1), np.uint8))
    image = Image.fromarray(_painted(picture, segmentation, frame, zoom))
    sx, sy = scan.frame_spacing if scan.kind is not ScanKind.VIDEO else (1.0, 1.0)
    wide, high = scan.width * sx, scan.height * sy
    scale = TILE / max(wide, high)
    right, down = _sides(scan)
    if scan.kind is ScanKind.VOLUME and right in ("R", "P") and down:
        image, right = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), _OPPOSITE[right]
    if scan.kind is ScanKind.VOLUME and down in ("A", "S"):
        image, down = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM), _OPPOSITE[down]
    image = image.resize((max(1, round(wide * scale)), max(1, round(high * scale))), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(image)
    scores = [f"{o.scores[frame]:.2f}" for o in segmentation.objects if frame in o.masks and frame in o.scores]
    if scan.kind is not ScanKind.IMAGE:
        confidence = f"   confidence {' '.join(scores)}" if scores else ""
        write_text(pen, (6, 4), f"{scan.frame_word} {frame}{confidence}", 14)
    if right and down:
        write_text(pen, (image.width - 14, image.height // 2 - 8), right, 14)
        write_text(pen, (image.width // 2 - 4, image.height - 20), down, 14)
    return image


def _sides(scan: Scan) -> tuple[str, str]:
    """Which side of the body the right and the lower edge of a frame are, "" where unknown."""
    if scan.grid.placement is not Placement.WORLD or scan.kind is not ScanKind.VOLUME:
        return "", ""
    x, y = scan.frame_axes
    return scan.grid.axis_codes[x], scan.grid.axis_codes[y]


def write_text(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int) -> None:
    """Write on a picture, so that it can be read on any ground."""
    pen.text(at, text, fill=PAPER, font=ImageFont.load_default(size), stroke_width=2, stroke_fill=INK)


def _legend(sheet: Image.Image, segmentation: Segmentation, scan: Scan, top: int) -> None:
    pen, x = ImageDraw.Draw(sheet), 10
    for one in segmentation.objects:
        pen.rounded_rectangle([x, top + 9, x + 14, top + 23], 3, fill=one.color)
        size = ""
        if scan.grid.placement is not Placement.PIXELS and scan.kind is not ScanKind.VIDEO:
            amount = segmentation.volume_mm3(one.name)
            size = f"  {amount / 1000:.1f} ml" if scan.kind is ScanKind.VOLUME else f"  {amount / 100:.1f} cm2"
        text = f"{one.name}{size}"
        write_text(pen, (x + 20, top + 7), text, 14)
        x += 40 + int(ImageDraw.Draw(sheet).textlength(text, font=ImageFont.load_default(14)))
