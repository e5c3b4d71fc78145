"""TIFF pictures, stacks and clips; microscopy's axes and spacing where ImageJ or OME wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.core.frame_source import SteadyFrames
from delineate.core.grid import Grid, Placement
from delineate.core.scan import Scan
from delineate.core.terminal_text import counted, printable
from delineate.io.held_file import HeldFile
from delineate.io.limits import check_frames, check_volume
from delineate.io.options import Pages, ReadOptions
from delineate.io.readers.modality import guess
from delineate.io.readers.tiff_layout import Spacing, TiffLayout, layout_of, opened
from delineate.io.readers.tiff_pages import TiffPages, orientation_of

WORDS = {"T": "time points", "Z": "slices", "I": "pages"}


class TiffFrames(HeldFile):
    """Pages of a TIFF, read one at a time; the file's table of pages is read once."""

    def __init__(self, path: Path, numbers: NDArray[np.int64], layout: TiffLayout, options: ReadOptions) -> None:
        super().__init__(path)
        self._numbers, self._file = numbers, tifffile.TiffFile(path, _multifile=False)
        self._channel = options.channel if layout.inside else None
        self._pages = TiffPages(path, self._file, options, layout.images)
        try:
            first = self.read(0)
        except BaseException:
            self._file.close()
            raise
        self.shape, self.dtype = (len(numbers), *first.shape), first.dtype

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What was done to the pages read so far."""
        return tuple(self._pages.notices.values())

    def _read(self, index: int) -> NDArray[Any]:
        pixels = self._pages.read(int(self._numbers[index]), self._channel)
        if hasattr(self, "shape") and pixels.shape != self.shape[1:]:
            raise InputError(
                "E-FRAMES-MIXED",
                f"Page {self._numbers[index]} of {self._path.name} has the shape {pixels.shape}, "
                f"the first one {self.shape[1:]}.",
                "Choose one of them with --index N.",
            )
        return pixels

    def _release(self) -> None:
        self._file.close()


def read(path: Path, options: ReadOptions) -> Scan:
    """A TIFF's one page, or its pages as the stack or video they are said to be.

    Raises InputError for pages nothing tells the meaning of, and for several channels, without a choice.
    """
    with opened(path) as file:
        layout = layout_of(path, file)
        turned = orientation_of(file.pages[0]) >= 5 and not options.stored_orientation
    layout = _one_channel(path, layout, options)
    numbers, kind = _chosen_pages(path, layout, options)
    notices = _layout_notices(layout)
    frames = TiffFrames(path, numbers, layout, options)
    spacing = layout.spacing
    if spacing and turned:
        spacing = (spacing[1], spacing[0], spacing[2])
    if kind is None:
        pixels = frames.read(0)
        frames.close()
        grid = Grid.scaled((pixels.shape[1], pixels.shape[0]), spacing[:2]) if spacing else None
        notices += (*frames.notices, *_not_finite(pixels))
        return Scan.from_image(pixels, grid, modality=guess(pixels, path), notices=notices)
    check_frames(path, len(numbers), options)
    if kind is Pages.VIDEO:
        return Scan.from_frames(frames, modality=guess(frames.read(0), path), notices=(*notices, *frames.notices))
    check_volume(path, frames.shape[:3], int(np.prod(frames.shape[3:])) * frames.dtype.itemsize, options)
    return _volume(path, frames, spacing, notices, options.skip_damaged)


def read_still(path: Path, options: ReadOptions) -> tuple[NDArray[Any], tuple[Notice, ...]]:
    """(height, width) or (height, width, 3) of a TIFF that is one picture among others, and what was done to it."""
    with opened(path) as file:
        layout = _one_channel(path, layout_of(path, file), options)
        numbers, kind = _chosen_pages(path, layout, options)
        if kind is not None:
            raise InputError(
                "E-PAGES",
                f"{path.name} holds {len(numbers)} pages, where one picture is expected.",
                "Save the page that is meant as a file of its own, or choose it with --index.",
            )
        pages = TiffPages(path, file, options, layout.images)
        pixels = pages.read(int(numbers[0]), options.channel if layout.inside else None)
    return pixels, tuple(pages.notices.values())


def _one_channel(path: Path, layout: TiffLayout, options: ReadOptions) -> TiffLayout:
    count = len(layout.channels)
    if count < 2:
        if options.channel:
            raise InputError(
                "E-CHANNEL-RANGE",
                f"{path.name} has one channel, or colors: leave --channel out.",
                "Channels are counted from 0; a file with one channel needs none.",
            )
        return layout.of_channel(0) if "C" in layout.axes else layout
    if options.channel is None:
        names = ", ".join(f"{n} ({printable(name)})" for n, name in enumerate(layout.channels[:16]))
        raise InputError("E-CHANNELS", f"{path.name} holds {count} channels: {names}.", "Choose one with --channel N.")
    if not 0 <= options.channel < count:
        raise InputError(
            "E-CHANNEL-RANGE",
            f"{path.name} has channels 0 to {count - 1}, not {options.channel}.",
            "Channels are counted from 0; a file with one channel needs none.",
        )
    return layout if layout.inside else layout.of_channel(options.channel)


def _chosen_pages(path: Path, layout: TiffLayout, options: ReadOptions) -> tuple[NDArray[np.int64], Pages | None]:
    """Page numbers, and what they are; None for one picture."""
    axes, pages = layout.axes, layout.pages
    kept = [n for n, size in enumerate(pages.shape) if size > 1]
    axes, pages = "".join(axes[n] for n in kept), pages.reshape([pages.shape[n] for n in kept])
    if len(axes) == 2 and "T" in axes and "Z" in axes and options.index is not None:
        return _at(path, np.moveaxis(pages, axes.index("T"), 0), options.index, "time points"), Pages.STACK
    if options.index is not None:
        return _at(path, pages.ravel(), options.index, "pages")[None], None
    if not axes:
        return pages.ravel(), None
    if len(axes) > 1:
        sizes = " x ".join(f"{n} {WORDS[axis]}" for axis, n in zip(axes, pages.shape, strict=True))
        what = "Choose a time point" if axes in ("TZ", "ZT") else "Choose a page"
        raise InputError("E-PAGES", f"{path.name} holds {sizes}.", f"{what} with --index N.")
    kind = options.pages or {"Z": Pages.STACK, "T": Pages.VIDEO}.get(axes)
    if kind is None:
        raise InputError(
            "E-PAGES",
            f"{path.name} holds {pages.size} pages, and does not say what they are{_elsewhere(layout)}.",
            "Say it: --index N for one of them, --pages stack for slices, --pages video for frames.",
        )
    return pages, kind


def _at(path: Path, pages: NDArray[np.int64], index: int, what: str) -> NDArray[np.int64]:
    if not 0 <= index < len(pages):
        raise InputError(
            "E-PAGE-RANGE",
            f"{path.name} has {what} 0 to {len(pages) - 1}, not {index}.",
            "Choose one of them with --index, counted from 0.",
        )
    return np.asarray(pages[index])


def _layout_notices(layout: TiffLayout) -> tuple[Notice, ...]:
    notices = []
    if layout.others:
        text = f"{layout.others} other pictures of the file, such as a thumbnail, are left out."
        notices.append(Notice("W-TIFF-OTHERS", text))
    if layout.elsewhere:
        notices.append(Notice("W-TIFF-ELSEWHERE", "The file names other files for pages of its own; none is opened."))
    return tuple(notices)


def _elsewhere(layout: TiffLayout) -> str:
    return " (it names other files, which are not opened)" if layout.elsewhere else ""


def _not_finite(pixels: NDArray[Any]) -> tuple[Notice, ...]:
    bad = int((~np.isfinite(pixels)).sum()) if pixels.dtype.kind == "f" else 0
    text = f"{counted(bad, 'pixel is', 'pixels are')} NaN or infinite; the model sees the minimum there."
    return (Notice("W-NOT-FINITE", text),) if bad else ()


def _volume(
    path: Path,
    frames: TiffFrames,
    spacing: Spacing | None,
    notices: tuple[Notice, ...],
    skip_damaged: bool,
) -> Scan:
    stack = np.empty(frames.shape, frames.dtype)
    source = SteadyFrames(frames) if skip_damaged else frames
    for n in range(len(stack)):
        stack[n] = source.read(n)
    frames.close()
    voxels = stack.transpose(2, 1, 0, *range(3, stack.ndim))
    shape = voxels.shape[:3]
    grid = Grid(shape, placement=Placement.PIXELS)
    if spacing is not None and spacing[2] is not None:
        grid = Grid.scaled(shape, (spacing[0], spacing[1], spacing[2]))
    elif spacing is not None:
        text = f"Pixels are {spacing[0]:.4g} x {spacing[1]:.4g} mm, but how far apart the slices are is not said."
        notices += (Notice("W-SPACING-UNKNOWN", f"{text} Nothing is told in mm."),)
    notices += (*frames.notices, *_not_finite(stack))
    return Scan.from_volume(voxels, grid, 2, modality=guess(voxels, path, volume=True), notices=notices)
