"""What the pages of a TIFF are: slices, moments, channels, as OME and ImageJ write it; and how large a pixel is.

Files that an OME-XML names beside the file are never opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC

from delineate.core.errors import InputError
from delineate.core.reading import reason
from delineate.io.readers.tiff_pages import alpha_of

MM = {
    "m": 1e3, "dm": 1e2, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "\\u00b5m": 1e-3, "micron": 1e-3,
    "microns": 1e-3, "micrometer": 1e-3, "nm": 1e-6, "pm": 1e-9, "å": 1e-7, "in": 25.4, "inch": 25.4,
}  # fmt: skip

Spacing = tuple[float, float, float | None]


@dataclass(frozen=True, eq=False)
class TiffLayout:
    """Pages by what they are.

    axes      of ``pages``, such as "TZ": T moments, Z slices, I unknown
    pages     page numbers (or image numbers, see ``images``); -1 where a page lies in another file
    channels  names of the channels, () where there is only one, or colors
    inside    whether channels are samples of a page, not pages of their own
    spacing   mm along x, y, z where a microscope wrote a real unit; None in place of z where it wrote none
    images    pictures behind the one page header there is; 0: every picture has its own
    others    pictures of other sizes that are no part of these
    elsewhere whether the file's notes name other files for some of its pages
    """

    axes: str
    pages: NDArray[np.int64]
    channels: tuple[str, ...] = ()
    inside: bool = False
    spacing: Spacing | None = None
    images: int = 0
    others: int = 0
    elsewhere: bool = False

    @property
    def count(self) -> int:
        return int(self.pages.size)

    def of_channel(self, channel: int) -> TiffLayout:
        """The pages of one channel, where channels have pages of their own."""
        at = self.axes.index("C")
        pages = np.asarray(self.pages.take(channel, at))
        return replace(self, axes=self.axes.replace("C", ""), pages=pages, channels=(), inside=False)


@contextmanager
def opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """The file alone. Raises InputError where it is no TIFF."""
    try:
        file = tifffile.TiffFile(path, _multifile=False)
    except Exception as error:  # tifffile raises whatever damaged bytes make it
        raise damaged(path, error) from None
    with file:
        yield file


def damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        "E-TIFF-DAMAGED", f"{path.name} is not a usable TIFF: {reason(error)}.", "Copy or export it again."
    )


def layout_of(path: Path, file: tifffile.TiffFile) -> TiffLayout:
    try:
        if not len(file.pages):
            raise ValueError("it has no pages")
        return _layout(path, file)
    except InputError:
        raise
    except Exception as error:
        raise damaged(path, error) from None


def _layout(path: Path, file: tifffile.TiffFile) -> TiffLayout:
    series = file.series[0]
    first = file.pages[0]
    if len(first.axes.replace("S", "")) != 2:
        raise InputError(
            "E-TIFF-VOLUMETRIC", f"{path.name} keeps several slices in one page (axes {first.axes}).",
            "Save it as one page a slice.",
        )  # fmt: skip
    main = [n for n, page in enumerate(file.pages) if not _is_reduced(page)]
    if series.kind in ("generic", "uniform") and len(main) > 1:  # nothing says what they are
        named = file.is_ome and "FileName=" in (file.ome_metadata or "")
        return TiffLayout("I", np.array(main), *_inner_channels(first), spacing=_spacing(file), elsewhere=named)
    outer = series.axes[: len(series.axes) - len(first.axes)] if series.axes.endswith(first.axes) else "I"
    shape = series.shape[: len(outer)] if outer and series.axes.endswith(first.axes) else (len(series.pages),)
    if not outer:
        shape = ()
    images = int(np.prod(shape)) if outer and len(series.pages) == 1 and np.prod(shape) > 1 else 0
    numbers = list(range(images)) if images else [-1 if page is None else int(page.index) for page in series.pages]
    if len(numbers) != math.prod(shape) and outer:
        outer, shape = "I", (len(numbers),)
    pages = np.array(numbers).reshape(shape)
    names, inside = _inner_channels(first)
    axes = "".join(axis if axis in "TZC" else "I" for axis in outer)
    if "C" in axes and not inside:
        names = _channel_names(file, pages.shape[axes.index("C")])
    elif "C" in axes:
        axes = axes.replace("C", "I")
    if pages.size and pages.min() < 0:
        raise InputError(
            "E-TIFF-ELSEWHERE",
            f"{path.name} keeps {int((pages < 0).sum())} of its {pages.size} pages in other files, "
            "which are not opened.",
            "Export it as one file.",
        )
    return TiffLayout(axes, pages, names, inside, _spacing(file), images, len(file.series) - 1)


def _is_reduced(page: Any) -> bool:
    return bool(getattr(page, "is_reduced", False))


def _inner_channels(page: Any) -> tuple[tuple[str, ...], bool]:
    """Samples of a page that are neither colors nor transparency."""
    samples = page.samplesperpixel
    colors = 1 if page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE) else 3
    if colors == 3 and page.photometric != PHOTOMETRIC.RGB:
        return (), False
    if samples <= colors or (alpha_of(page) and samples == colors + 1):
        return (), False
    return tuple(f"channel {n}" for n in range(samples)), True


def _channel_names(file: tifffile.TiffFile, count: int) -> tuple[str, ...]:
    names: list[Any] = []
    if file.is_ome:
        channels = _ome_pixels(file).get("Channel", [])
        channels = channels if isinstance(channels, list) else [channels]
        names = [one.get("Name") for one in channels if isinstance(one, dict)]
    elif file.imagej_metadata:
        labels = file.imagej_metadata.get("Labels") or []
        names = list(labels[:count]) if isinstance(labels, list) else []
    names = (names + [None] * count)[:count]
    return tuple(str(name)[:40] if name else f"channel {n}" for n, name in enumerate(names))


def _ome_pixels(file: tifffile.TiffFile) -> dict[str, Any]:
    """The Pixels element of the first image."""
    try:
        image = tifffile.xml2dict(file.ome_metadata or "")["OME"]["Image"]
        pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    except Exception:  # no such elements, or no XML
        return {}
    return pixels if isinstance(pixels, dict) else {}


def _spacing(file: tifffile.TiffFile) -> Spacing | None:
    """mm along x, y, z where a microscope wrote a real unit; print resolutions (dpi) say nothing."""
    steps = _ome_spacing(file) if file.is_ome else _imagej_spacing(file)
    return steps if steps and all(s is None or (math.isfinite(s) and s > 0) for s in steps) else None


def _ome_spacing(file: tifffile.TiffFile) -> Spacing | None:
    pixels = _ome_pixels(file)
    steps: list[float | None] = []
    for axis in "XYZ":
        size, unit = pixels.get(f"PhysicalSize{axis}"), MM.get(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")).lower())
        steps.append(float(size) * unit if isinstance(size, int | float) and unit else None)
    x, y, z = steps
    if x is None or y is None:
        return None
    return x, y, z


def _imagej_spacing(file: tifffile.TiffFile) -> Spacing | None:
    notes = file.imagej_metadata or {}
    unit, tags = MM.get(str(notes.get("unit", "")).lower()), file.pages[0].tags
    if unit is None or "XResolution" not in tags or "YResolution" not in tags:
        return None
    steps = []
    for name in ("XResolution", "YResolution"):
        top, bottom = tags[name].value
        steps.append(unit * bottom / top if top else unit)
    depth = notes.get("spacing", 1.0)
    return steps[0], steps[1], unit * abs(float(depth if isinstance(depth, int | float) and depth else 1.0))
