"""TIFF pictures, stacks and clips; microscopy's axes and spacing where ImageJ or OME wrote them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.grid import Grid
from delineate.core.scan import Scan
from delineate.io.held_file import HeldFile
from delineate.io.limits import check_frames, check_picture, check_volume
from delineate.io.options import Pages, ReadOptions
from delineate.io.readers.modality import guess
from delineate.io.unpacking import DEFLATE_RATIO, PIECE, Packing, holds_more

_MM = {"micron": 1e-3, "um": 1e-3, "µm": 1e-3, "\\u00B5m": 1e-3, "mm": 1.0, "cm": 10.0, "nm": 1e-6}
_DEFLATE = (8, 32946, 50013)  # what TIFF calls it


class TiffFrames(HeldFile):
    """Pages of a TIFF, read one at a time; the file's table of pages is read once."""

    def __init__(self, path: Path, pages: int, options: ReadOptions) -> None:
        super().__init__(path)
        self._options, self._file = options, tifffile.TiffFile(path)
        first = self.read(0)
        self.shape, self.dtype = (pages, *first.shape), first.dtype

    def _read(self, index: int) -> NDArray[Any]:
        return _pixels(self._path, self._file.pages, index, self._options)

    def _release(self) -> None:
        self._file.close()


def read(path: Path, options: ReadOptions) -> Scan:
    """A TIFF's one page, or its pages as the stack or video they are said to be."""
    try:
        with tifffile.TiffFile(path) as file:
            pages = len(file.pages)
            if pages == 0:
                raise ValueError("it has no pages")
            _check(path, file.pages[0], options)
            axes = file.series[0].axes
            spacing = _spacing(file)
    except InputError:
        raise
    except Exception as error:
        raise InputError("E-TIFF-DAMAGED", f"{path.name} is not a usable TIFF: {error}.") from None
    if pages > 1 and options.index is None:
        return _stack(path, pages, axes, spacing, options)
    index = options.index or 0
    if not 0 <= index < pages:
        raise InputError("E-PAGE-RANGE", f"{path.name} has pages 0 to {pages - 1}, not {index}.")
    with tifffile.TiffFile(path) as file:
        pixels = _pixels(path, file.pages, index, options)
    grid = Grid.scaled((pixels.shape[1], pixels.shape[0]), spacing[:2]) if spacing else None
    return Scan.from_image(pixels, grid, modality=guess(pixels, path))


def _check(path: Path, page: Any, options: ReadOptions) -> None:
    """What a page declares, against the limits."""
    values = int(np.prod(page.shape, dtype=np.int64))
    pixels = page.imagewidth * page.imagelength
    if not pixels or not values:
        raise ValueError("a page without pixels")
    each = max(values, pixels) // pixels * np.dtype(page.dtype or np.uint8).itemsize
    check_picture(path, page.imagewidth, page.imagelength, each, options)


def _pixels(path: Path, pages: Any, index: int, options: ReadOptions) -> NDArray[Any]:
    """One page, (height, width) or (height, width, 3)."""
    try:
        page = pages[index]
        _check(path, page, options)
        _require_bounded(page)
        pixels = np.asarray(page.asarray(maxworkers=1))
    except InputError:
        raise
    except Exception as error:
        raise InputError("E-TIFF-DAMAGED", f"Page {index} of {path.name} cannot be read: {error}.") from None
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] not in (3, 4):
        pixels = pixels.transpose(1, 2, 0)  # planar storage
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = pixels[..., :3]
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise InputError(
            "E-TIFF-CHANNELS", f"{path.name} has pages of shape {pixels.shape}: neither grey nor RGB.",
            "Save the channel of interest on its own.",
        )  # fmt: skip
    return pixels


def _require_bounded(page: Any) -> None:
    """That strips and tiles packed by deflate unpack to what the page declares of them: tifffile takes all there is.

    Small ones cannot unpack to much. Raises ValueError.
    """
    if page.compression not in _DEFLATE:
        return
    piece = page.tile or (page.rowsperstrip or page.imagelength, page.imagewidth)
    promised = int(np.prod(piece, dtype=np.int64)) * max(1, page.samplesperpixel) * page.bitspersample // 8
    stream = page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if count * DEFLATE_RATIO < promised + PIECE * 16:
            continue
        stream.seek(offset)
        if holds_more(io.BytesIO(stream.read(min(count, promised + PIECE))), Packing.ZLIB, promised + PIECE):
            raise ValueError("its compressed data hold more than the page")


def _stack(path: Path, pages: int, axes: str, spacing: tuple[float, ...] | None, options: ReadOptions) -> Scan:
    kind = options.pages
    if kind is None and axes[:1] in ("Z", "T") and len(axes.rstrip("S")) == 3:
        kind = Pages.STACK if axes[0] == "Z" else Pages.VIDEO
    if kind is None:
        raise InputError(
            "E-PAGES",
            f"{path.name} holds {pages} pages (axes {axes}).",
            "Say what they are: --index N for one of them, --pages stack for slices, --pages video for frames.",
        )
    check_frames(path, pages, options)
    frames = TiffFrames(path, pages, options)
    if kind is Pages.VIDEO:
        return Scan.from_frames(frames, modality=guess(frames.read(0), path))
    check_volume(path, frames.shape[:3], int(np.prod(frames.shape[3:])) * frames.dtype.itemsize, options)
    stack = np.empty(frames.shape, frames.dtype)
    for n in range(pages):
        stack[n] = frames.read(n)
    voxels = stack.transpose(2, 1, 0, *range(3, stack.ndim))
    grid = Grid.scaled(voxels.shape[:3], spacing or (1.0, 1.0, 1.0))
    return Scan.from_volume(voxels, grid, 2, modality=guess(voxels, path, volume=True))


def _spacing(file: tifffile.TiffFile) -> tuple[float, ...] | None:
    """mm along x, y, z where a microscope wrote a real unit; print resolutions (dpi) say nothing."""
    notes = file.imagej_metadata or {}
    unit = _MM.get(str(notes.get("unit", "")))
    tags = file.pages[0].tags
    if unit is None or "XResolution" not in tags:
        return None
    steps = []
    for name in ("XResolution", "YResolution"):
        top, bottom = tags[name].value
        steps.append(unit * bottom / top if top else unit)
    return (*steps, unit * float(notes.get("spacing", 1.0) or 1.0))
