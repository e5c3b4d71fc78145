"""Pictures of outlines: one frame, a contact sheet of a scan, a film; what is doubtful comes first, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from delineate.core.grid import Placement
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Color, Segmentation
from delineate.core.terminal_text import figure
from delineate.io.frame_view import INK, PAPER, FrameView, shown_frame, wrapped, write
from delineate.io.outline_colors import outline_colors
from delineate.io.own_files import MARK, png_mark
from delineate.preprocess.display import display_window

MOST_TILES, LEAST_TILES, DOUBTS = 12, 4, 6
SHEET: Final = 16_000_000  # pixels of all tiles together, where there are more than LEAST_TILES
FILL: Final = 0.22  # opacity of the inside
GAP, TEXT = 10, 15
WARN: Final[Color] = (255, 196, 0)
YES, NO = (60, 255, 90), (255, 60, 200)


@dataclass(frozen=True)
class Remarks:
    """What a preview tells beside the outlines.

    prompts  by frame: the name of a structure, and what was pointed at there
    doubts   by frame: the name of a structure, and what looks wrong
    """

    prompts: Mapping[int, Sequence[tuple[str, FramePrompts]]] = field(default_factory=dict)
    doubts: Mapping[int, Sequence[tuple[str, str]]] = field(default_factory=dict)


def overlay_frame(
    scan: Scan,
    segmentation: Segmentation,
    frame: int,
    window: tuple[float, float],
    colors: Mapping[str, Color] | None = None,
) -> NDArray[np.uint8]:
    """One frame with its outlines, (height, width, 3) uint8, at the frame's own resolution."""
    picture = shown_frame(scan, frame, window)
    masks = {one.name: one.masks[frame].decode() for one in segmentation.objects if frame in one.masks}
    own = {one.name: one.color for one in segmentation.objects}
    return _painted(picture, masks, colors or own)


def save_preview(
    scan: Scan,
    segmentation: Segmentation,
    path: Path,
    remarks: Remarks | None = None,
    colors: Mapping[str, Color] | None = None,
) -> None:
    """The picture beside an output: the image with its outlines, or a contact sheet of a volume or video."""
    contact_sheet(scan, segmentation, remarks, colors).save(path, "PNG", pnginfo=png_mark())


def contact_sheet(
    scan: Scan,
    segmentation: Segmentation,
    remarks: Remarks | None = None,
    colors: Mapping[str, Color] | None = None,
) -> Image.Image:
    """Frames as in a light box, at their full resolution, right way up, prompts drawn.

    Doubtful frames come first, the least sure before others, then those that were prompted and others that are spread
    over the structures' extent.

    colors  by name, where they mean something; None: such as stand out from the picture
    """
    remarks, window = remarks or Remarks(), display_window(scan)
    view = FrameView.of(scan)
    numbers = _chosen(segmentation, remarks, int(np.clip(SHEET // (view.width * view.height), LEAST_TILES, MOST_TILES)))
    colors = colors or outline_colors(segmentation, ((n, shown_frame(scan, n, window)) for n in numbers))
    tiles = [_tile(scan, segmentation, number, view, window, colors, remarks) for number in numbers]
    columns = min(len(tiles), 4 if len(tiles) > 3 else len(tiles))
    rows = -(-len(tiles) // columns)
    width, height = max(t.width for t in tiles) + GAP, max(t.height for t in tiles) + GAP
    legend = _legend(columns * width - GAP, segmentation, scan, colors)
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP + legend.height), INK)
    for n, tile in enumerate(tiles):
        sheet.paste(tile, (GAP + n % columns * width, GAP + n // columns * height))
    sheet.paste(legend, (GAP, rows * height + GAP))
    return sheet


def frame_tile(scan: Scan, segmentation: Segmentation, frame: int) -> Image.Image:
    """One frame as it stands on a contact sheet."""
    window = display_window(scan)
    colors = outline_colors(segmentation, [(frame, shown_frame(scan, frame, window))])
    return _tile(scan, segmentation, frame, FrameView.of(scan), window, colors, Remarks())


def save_film(scan: Scan, segmentation: Segmentation, path: Path, rate: float | None = None) -> None:
    """The video with its outlines, their names and confidences, and the time, as MP4; one frame in memory at a time."""
    window = display_window(scan)
    times = scan.times
    if rate is None:
        rate = (len(times) - 1) / (times[-1] - times[0]) if times and len(times) > 1 and times[-1] > times[0] else 20.0
    seen = sorted({frame for one in segmentation.objects for frame in one.frames}) or [0]
    some = [seen[n] for n in np.unique(np.linspace(0, len(seen) - 1, 5).astype(int))]
    colors = outline_colors(segmentation, ((n, shown_frame(scan, n, window)) for n in some))
    with av.open(str(path), "w", format="mp4") as film:
        film.metadata["comment"] = MARK
        stream = film.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000))
        stream.width, stream.height = scan.width // 2 * 2, scan.height // 2 * 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast", "threads": "1"}
        for number in range(len(scan)):
            image = Image.fromarray(overlay_frame(scan, segmentation, number, window, colors))
            when = times[number] - times[0] if times else number / rate
            _caption(ImageDraw.Draw(image), segmentation, number, f"{when:.2f} s", colors, max(11, scan.height // 32))
            picture = np.ascontiguousarray(np.asarray(image)[: stream.height, : stream.width])
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())


def _chosen(segmentation: Segmentation, remarks: Remarks, most: int) -> list[int]:
    """Frames to show, doubtful ones first."""
    objects = segmentation.objects
    sure = {n: min((one.scores.get(n, 1.0) for one in objects), default=1.0) for n in remarks.doubts}
    doubtful = sorted(remarks.doubts, key=lambda frame: (sure[frame], frame))[: min(DOUBTS, most // 2)]
    seen = sorted({f for o in segmentation.objects for f in o.frames}) or [len(segmentation) // 2]
    left = most - len(doubtful)
    prompted = [frame for frame in sorted(remarks.prompts) if frame not in doubtful][:left]
    spread = [seen[n] for n in np.unique(np.linspace(0, len(seen) - 1, left - len(prompted)).round().astype(int))]
    others = [frame for frame in spread if frame not in {*doubtful, *prompted}][: left - len(prompted)]
    return [*doubtful, *sorted([*prompted, *others])]


def _painted(
    picture: NDArray[np.uint8], masks: Mapping[str, NDArray[np.bool_]], colors: Mapping[str, Color]
) -> NDArray[np.uint8]:
    """Insides tinted, outlines drawn with a dark rim, so that they show on any ground."""
    out = picture.astype(np.float32)
    thick = 2 if max(picture.shape[:2]) >= 300 else 1
    for name, mask in masks.items():
        if not mask.any():
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        near = (
            slice(max(0, int(rows[0]) - 2 * thick), int(rows[-1]) + 2 * thick + 1),
            slice(max(0, int(columns[0]) - 2 * thick), int(columns[-1]) + 2 * thick + 1),
        )
        inside, part, color = mask[near], out[near], np.array(colors[name], np.float32)
        edge = inside & ~ndimage.binary_erosion(inside, iterations=thick, border_value=1)
        rim = ndimage.binary_dilation(inside) & ~inside
        part[inside] = part[inside] * (1 - FILL) + color * FILL
        part[edge] = color
        part[rim] = part[rim] * 0.4
    return out.round().astype(np.uint8)


def _tile(
    scan: Scan,
    segmentation: Segmentation,
    frame: int,
    view: FrameView,
    window: tuple[float, float],
    colors: Mapping[str, Color],
    remarks: Remarks,
) -> Image.Image:
    """One labeled picture."""
    picture = np.asarray(view.picture(scan, frame, window))
    masks = {o.name: view.mask(o.masks[frame].decode()) for o in segmentation.objects if frame in o.masks}
    image = Image.fromarray(_painted(picture, masks, colors))
    pen = ImageDraw.Draw(image)
    prompts, doubts = remarks.prompts.get(frame, ()), remarks.doubts.get(frame, ())
    for name, given in prompts:
        _draw_prompts(pen, given, view, colors.get(name, PAPER))
    view.letters(pen)
    title = "" if scan.kind is ScanKind.IMAGE else f"{scan.frame_word} {frame}"
    top = _caption(pen, segmentation, frame, title + ("  prompted" if prompts and title else ""), colors, TEXT)
    for name, why in doubts:
        for line in wrapped(pen, f"look: {name}, {why}", TEXT, view.width - 16):
            write(pen, (8, top), line, TEXT, WARN)
            top += TEXT + 5
    if not any(mask.any() for mask in masks.values()):
        write(pen, (view.width / 2, view.height / 2), "empty: nothing found here", TEXT + 3, WARN, "mm")
    return image


def _caption(
    pen: ImageDraw.ImageDraw,
    segmentation: Segmentation,
    frame: int,
    title: str,
    colors: Mapping[str, Color],
    size: int,
) -> float:
    """Which frame it is, and each structure on it with its confidence, in its color; gives where further lines go."""
    top = 6.0
    if title:
        write(pen, (8, top), title, size)
        top += size + 5
    for one in [one for one in segmentation.objects if frame in one.masks][:8]:
        score = f" {one.scores[frame]:.2f}" if frame in one.scores else ""
        write(pen, (8, top), f"{one.name}{score}", size, colors[one.name])
        top += size + 4
    return top


def _draw_prompts(pen: ImageDraw.ImageDraw, given: FramePrompts, view: FrameView, color: Color) -> None:
    """Boxes with dashes, clicks as dots with + or -."""
    if given.box is not None:
        x0, y0, x1, y1 = given.box
        (u0, v0), (u1, v1) = view.edge(x0, y0), view.edge(x1, y1)
        _dashed(pen, min(u0, u1), min(v0, v1), max(u0, u1), max(v0, v1), color)
    places = [view.place(float(x), float(y)) for x, y in given.points]
    radius = 7 if len(places) <= 12 else 3
    for (u, v), positive in zip(places, given.labels, strict=True):
        pen.ellipse([u - radius, v - radius, u + radius, v + radius], YES if positive else NO, INK, 1)
        if radius > 3:
            pen.line([u - 4, v, u + 4, v], INK, 2)
            if positive:
                pen.line([u, v - 4, u, v + 4], INK, 2)


def _dashed(pen: ImageDraw.ImageDraw, u0: float, v0: float, u1: float, v1: float, color: Color) -> None:
    pen.rectangle([u0, v0, u1, v1], outline=INK, width=3)
    for start in np.arange(u0, u1, 14):
        for v in (v0, v1):
            pen.line([start, v, min(start + 8, u1), v], color, 2)
    for start in np.arange(v0, v1, 14):
        for u in (u0, u1):
            pen.line([u, start, u, min(start + 8, v1)], color, 2)


def _legend(width: int, segmentation: Segmentation, scan: Scan, colors: Mapping[str, Color]) -> Image.Image:
    """Every structure with its color and size, in as many lines as it takes."""
    texts = []
    for one in segmentation.objects:
        size = "" if one.frames else "  empty"
        if one.frames and scan.grid.placement is not Placement.PIXELS and scan.kind is not ScanKind.VIDEO:
            amount = segmentation.volume_mm3(one.name)
            ml_or_cm2 = (1000, "ml") if scan.kind is ScanKind.VOLUME else (100, "cm2")
            size = f"  {figure(amount / ml_or_cm2[0], 1)} {ml_or_cm2[1]}"
        texts.append((one.name, f"{one.name}{size}"))
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    places, x, y = [], 0.0, 6
    for name, text in texts:
        wide = 46 + write(measure, (0, 0), text, TEXT)
        if x and x + wide > width:
            x, y = 0.0, y + TEXT + 9
        places.append((x, y, name, text))
        x += wide
    legend = Image.new("RGB", (width, y + TEXT + 14), INK)
    pen = ImageDraw.Draw(legend)
    for x, y, name, text in places:
        pen.rounded_rectangle([x, y + 2, x + 14, y + 16], 3, fill=colors[name])
        write(pen, (x + 20, y), text, TEXT)
    return legend
