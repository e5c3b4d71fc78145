"""TIFF pictures, stacks and clips; microscopy's axes and spacing where ImageJ or OME wrote them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from delineate.errors import InputError
from delineate.grid import Grid
from delineate.io.modality import guess
from delineate.io.options import Pages, ReadOptions
from delineate.scan import Scan

_MM = {"micron": 1e-3, "um": 1e-3, "µm": 1e-3, "\\u00B5m": 1e-3, "mm": 1.0, "cm": 10.0, "nm": 1e-6}


@dataclass(frozen=True, eq=False)
class TiffFrames:
    """Pages of a TIFF, read one at a time."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint8))

    def read(self, index: int) -> NDArray[Any]:
        return _page(self.path, index)


def read(path: Path, options: ReadOptions) -> Scan:
    """A TIFF's one page, or its pages as the stack or video they are said to be."""
    try:
        with tifffile.TiffFile(path) as file:
            pages = len(file.pages)
            if pages == 0:
                raise ValueError("it has no pages")
            first = file.pages[0]
            size = first.shape
            if int(np.prod(size, dtype=np.int64)) > options.max_pixels * 3:
                raise InputError(
                    "E-PICTURE-LARGE",
                    f"{path.name} would unpack to {' x '.join(map(str, size))} values, more than allowed.",
                    "If you trust the file, raise the limit with --max-pixels.",
                )
            axes = file.series[0].axes
            spacing = _spacing(file)
            dtype = np.dtype(first.dtype or np.uint8)
    except InputError:
        raise
    except Exception as error:
        raise InputError("E-TIFF-DAMAGED", f"{path.name} is not a usable TIFF: {error}.") from None
    if pages > 1 and options.index is None:
        return _stack(path, pages, axes, spacing, dtype, options)
    pixels = _page(path, options.index or 0, pages)
    grid = Grid.scaled((pixels.shape[1], pixels.shape[0]), spacing[:2]) if spacing else None
    return Scan.from_image(pixels, grid, modality=guess(pixels, path))


def _page(path: Path, index: int, pages: int | None = None) -> NDArray[Any]:
    if pages is not None and not 0 <= index < pages:
        raise InputError("E-PAGE-RANGE", f"{path.name} has pages 0 to {pages - 1}, not {index}.")
    try:
        pixels = np.asarray(tifffile.imread(path, key=index))
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


def _stack(
    path: Path, pages: int, axes: str, spacing: tuple[float, ...] | None, dtype: np.dtype[Any], options: ReadOptions
) -> Scan:
    kind = options.pages
    if kind is None and axes[:1] in ("Z", "T") and len(axes.rstrip("S")) == 3:
        kind = Pages.STACK if axes[0] == "Z" else Pages.VIDEO
    if kind is None:
        raise InputError(
            "E-PAGES",
            f"{path.name} holds {pages} pages (axes {axes}).",
            "Say what they are: --index N for one of them, --pages stack for slices, --pages video for frames.",
        )
    if pages > options.max_frames:
        raise InputError("E-FRAMES-LARGE", f"{path.name} holds {pages} pages, more than {options.max_frames}.")
    first = _page(path, 0)
    frames = TiffFrames(path, (pages, *first.shape), dtype)
    if kind is Pages.VIDEO:
        return Scan.from_frames(frames, modality=guess(first, path))
    stack = np.stack([frames.read(n) for n in range(pages)])
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
