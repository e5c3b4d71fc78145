"""A scan: the pixels of an image, a volume or a video, on a grid, read a frame at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from delineate.core.errors import GeometryError, InputError, Notice
from delineate.core.frame import Frame, Modality
from delineate.core.frame import ModalityName as ModalityName
from delineate.core.frame_source import ArrayFrames, ClosableSource, FrameSource, Pixels, VolumeFrames
from delineate.core.grid import Grid, Placement
from delineate.core.intensities import Intensities, IntensityWindow
from delineate.core.nifti_geometry import NiftiGeometry
from delineate.core.origin import Origin
from delineate.core.reading import reading


class ScanKind(StrEnum):
    IMAGE = "image"
    VOLUME = "volume"
    VIDEO = "video"

    @property
    def with_article(self) -> str:
        """In a sentence."""
        return f"{'an' if self is ScanKind.IMAGE else 'a'} {self.value}"


VIDEO_FRAMES_SAMPLED = 32  # for the intensities of a video


NOT_OPENED: Final = (
    "Open a file: open_scan(path). Of an array make a scan: Scan.from_image(pixels), Scan.from_volume(voxels) or "
    "Scan.from_frames(frames)."
)


@dataclass(frozen=True)
class SourceFile:
    """The file or folder a scan was read from."""

    path: Path
    format: str  # "PNG", "NIfTI", "DICOM series", ...
    sha256: str = ""  # of the bytes (of all used files in reading order for a folder)
    series: str = ""  # which series of a DICOM folder: "#" and its position


@dataclass(frozen=True, eq=False)
class Scan:
    """The pixels of one image, volume or video, kept in their own data type, on a grid.

    source      reads frames: slices along ``slice_axis`` for a volume
    grid        ``(x, y)``, ``(i, j, k)`` or ``(x, y, t)``; outputs are written on exactly this grid
    slice_axis  the grid axis the frames are stacked along (2 for images and video)
    window      (low, high) intensities the file itself suggests for display, or None
    intensity_window  what models see it through, where a person or a record chose it; None: each system's own rule
    times       seconds of each video frame in presentation order, or None
    notices     what was repaired or should be known, told once
    geometry    of a NIfTI file: what its header says of place, as stored. Nothing else of a header is kept
    compression how the file packs its pixels: codec of a video, transfer syntax of DICOM; "" where it is not known
    origin      of DICOM: what tells whether labels are of this scan; in memory alone

    A scan is a context manager; closing it closes the file, for copies with another window or slice axis too.
    """

    kind: ScanKind
    source: FrameSource
    grid: Grid
    slice_axis: int = 2
    modality: Modality = field(default_factory=Modality)
    window: tuple[float, float] | None = None
    intensity_window: IntensityWindow | None = None
    times: tuple[float, ...] | None = None
    file: SourceFile | None = None
    notices: tuple[Notice, ...] = ()
    geometry: NiftiGeometry | None = None
    compression: str = ""
    origin: Origin | None = field(default=None, repr=False)
    _closed: threading.Event = field(default_factory=threading.Event, repr=False)

    def __repr__(self) -> str:
        """In one line, as notebooks show it."""
        frames = "" if self.kind is ScanKind.IMAGE else f"{len(self)} {self.frame_word}s of "
        name = f", {self.file.path.name}" if self.file else ""
        return f"Scan({self.kind.value}, {frames}{self.width} x {self.height}, {self.grid!r}{name})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; pixels cannot be read from then on. Closing twice does nothing."""
        self._closed.set()
        if isinstance(self.source, ClosableSource):
            self.source.close()

    def __post_init__(self) -> None:
        width, height = self.frame_axes
        shape = self.source.shape
        expected = (self.grid.shape[height], self.grid.shape[width])
        frames = 1 if self.kind is ScanKind.IMAGE else self.grid.shape[self.slice_axis]
        if len(shape) not in (3, 4) or tuple(shape[1:3]) != expected or shape[0] != frames:
            raise InputError(
                "E-SCAN-SHAPE",
                f"Pixels of shape {shape} do not fit {self.grid!r}.",
                "Pixels are (frames, height, width[, channels]), as many and as large as the grid says.",
            )

    @classmethod
    def from_image(cls, pixels: Pixels, grid: Grid | None = None, **about: Any) -> Scan:
        """A scan of one picture (height, width[, channels])."""
        grid = grid or Grid.pixels(pixels.shape[1], pixels.shape[0])
        return cls(ScanKind.IMAGE, ArrayFrames(pixels[None]), grid, **about)

    @classmethod
    def from_volume(cls, voxels: Any, grid: Grid | None = None, slice_axis: int | None = None, **about: Any) -> Scan:
        """A scan of a volume (i, j, k[, channels]); slices along ``slice_axis``, by default ``grid.thick_axis``."""
        grid = grid or Grid(tuple(voxels.shape[:3]))
        axis = grid.thick_axis if slice_axis is None else slice_axis
        if axis not in (0, 1, 2):
            raise GeometryError(
                "E-SLICE-AXIS",
                f"A volume has slice axes 0, 1 and 2, not {axis}.",
                "Name an axis of a volume: 0, 1 or 2, i, j or k, or R, A or S.",
            )
        scan = cls(ScanKind.VOLUME, VolumeFrames(voxels, axis), grid, axis, **about)
        return scan if slice_axis is not None or axis == 2 else scan.with_notices(_other_axis(grid, axis))

    @classmethod
    def from_frames(cls, source: FrameSource | Pixels, **about: Any) -> Scan:
        """A scan of a video: a frame source, or an array (frames, height, width[, channels])."""
        frames = ArrayFrames(source) if isinstance(source, np.ndarray) else source
        count, height, width = frames.shape[:3]
        return cls(ScanKind.VIDEO, frames, Grid.pixels(width, height, count), **about)

    @property
    def frame_axes(self) -> tuple[int, int]:
        """The grid axes that run right (x) and down (y) in a frame."""
        first, second = (axis for axis in range(3) if axis != self.slice_axis)
        return first, second

    @property
    def frame_directions(self) -> tuple[Any, Any] | None:
        """Where x and y of a frame run to in the body, such as ``("L", "P")``; None where that is not known."""
        if self.grid.placement is not Placement.WORLD or self.kind is ScanKind.VIDEO:
            return None
        x, y = (self.grid.axis_codes[axis] for axis in self.frame_axes)
        return x, y

    @property
    def width(self) -> int:
        return int(self.source.shape[2])

    @property
    def height(self) -> int:
        return int(self.source.shape[1])

    @property
    def channels(self) -> int:
        return int(self.source.shape[3]) if len(self.source.shape) == 4 else 1

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    @property
    def frame_word(self) -> str:
        """What one frame of this scan is called."""
        return "slice" if self.kind is ScanKind.VOLUME else "frame"

    def __len__(self) -> int:
        return int(self.source.shape[0])

    @cached_property
    def intensities(self) -> Intensities:
        """Of all frames (of a video: of 32, evenly spaced), whatever axis slices are taken along."""
        if isinstance(self.source, VolumeFrames):
            return Intensities(VolumeFrames(self.source.voxels, self.grid.thick_axis))
        return Intensities(CheckedFrames(self), VIDEO_FRAMES_SAMPLED if self.kind is ScanKind.VIDEO else None)

    def frame(self, index: int) -> Frame:
        """Frame or slice ``index``, with all a model needs to know of it."""
        return Frame(
            self.pixels(index),
            self.intensities,
            self.intensity_window,
            self.modality,
            None if self.grid.placement is Placement.PIXELS else self.frame_spacing,
            index,
            self.window,
        )

    def pixels(self, index: int) -> Pixels:
        """Frame or slice ``index``: (height, width) or (height, width, channels), in the file's own data type."""
        if not 0 <= index < len(self):
            raise InputError(
                "E-FRAME-RANGE",
                f"There is no {self.frame_word} {index}; they go from 0 to {len(self) - 1}.",
                "Choose one of these.",
            )
        self._require_open()
        where = f"{self.frame_word} {index}"
        try:
            with reading(self._name, what=f"cannot be read at {where}"):
                found = self.source.read(index)
        except InputError as error:
            if len(self) == 1 or where in error.message.lower():
                raise
            raise type(error)(error.code, f"{where.capitalize()}: {error.message}", error.hint) from error
        if found.shape != tuple(self.source.shape[1:]) or not np.can_cast(found.dtype, self.dtype, "safe"):
            raise InputError(
                "E-FRAME-OTHER",
                f"{self._name}: {self.frame_word} {index} is {found.shape} of {found.dtype}, where "
                f"{tuple(self.source.shape[1:])} of {self.dtype} is meant.",
                "The file is damaged, or its frames differ: export it again.",
            )
        return found

    def frames(self) -> Iterator[Frame]:
        """All frames in order, one in memory at a time."""
        return (self.frame(index) for index in range(len(self)))

    def sliced_along(self, axis: int | str) -> Scan:
        """The same volume with its slices along another axis: a number, or an axis name or code (``"i"``, ``"S"``)."""
        if self.kind is not ScanKind.VOLUME or not isinstance(self.source, VolumeFrames):
            raise GeometryError(
                "E-SLICE-AXIS",
                f"Only a volume has a choice of slice axis, not this {self.kind}.",
                "Name an axis of a volume: 0, 1 or 2, i, j or k, or R, A or S.",
            )
        if isinstance(axis, str):
            names = [a.lower() for a in self.grid.axes]
            codes = [set(_OPPOSITE.get(c, c)) for c in self.grid.axis_codes]
            matches = [n for n in range(3) if axis.lower() == names[n] or axis.upper() in codes[n]]
            if not matches and axis in ("0", "1", "2"):
                matches = [int(axis)]
            if not matches:
                raise GeometryError(
                    "E-SLICE-AXIS",
                    f'"{axis}" is not an axis of {self.grid!r}.',
                    f"Use one of {', '.join(self.grid.axes)} or {', '.join(self.grid.axis_codes)}.",
                )
            axis = matches[0]
        if axis not in (0, 1, 2):
            raise GeometryError("E-SLICE-AXIS", f"A volume has slice axes 0, 1 and 2, not {axis}.", "Give one of them.")
        notices = tuple(notice for notice in self.notices if notice.code != "W-SLICE-AXIS")
        return replace(self, source=VolumeFrames(self.source.voxels, axis), slice_axis=axis, notices=notices)

    def voxels(self) -> Pixels:
        """The whole volume in memory: (i, j, k[, channels])."""
        if not isinstance(self.source, VolumeFrames):
            raise GeometryError(
                "E-NOT-VOLUME",
                f"This scan is {self.kind}, not a volume.",
                "Only a volume has slices along other axes and voxels as one array.",
            )
        self._require_open()
        with reading(self._name, what="cannot be read"):
            return np.asarray(self.source.voxels)

    @property
    def _name(self) -> str:
        return self.file.path.name if self.file else "The scan"

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise InputError("E-SCAN-CLOSED", f"{self._name} was closed: its pixels cannot be read.", "Open it again.")

    def to_frame(self, voxel: tuple[float, ...]) -> tuple[int, float, float]:
        """Voxel ``(i, j, k)`` as (frame index, x, y)."""
        x, y = self.frame_axes
        return int(np.floor(voxel[self.slice_axis] + 0.5)), voxel[x], voxel[y]

    def from_frame(self, frame: int, x: float, y: float) -> tuple[float, ...]:
        """(frame index, x, y) as voxel ``(i, j, k)``; ``(x, y)`` for an image."""
        if self.kind is ScanKind.IMAGE:
            return (x, y)
        voxel = [0.0, 0.0, 0.0]
        voxel[self.slice_axis] = frame
        voxel[self.frame_axes[0]], voxel[self.frame_axes[1]] = x, y
        return tuple(voxel)

    @property
    def frame_spacing(self) -> tuple[float, float]:
        """mm between neighboring pixels of a frame, (x, y)."""
        x, y = self.frame_axes
        return self.grid.spacing[x], self.grid.spacing[y]

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """mm between neighbors along each axis that lies in space; None where the file does not say it."""
        if self.grid.placement is Placement.PIXELS:
            return None
        return self.frame_spacing if self.kind is ScanKind.VIDEO else self.grid.spacing

    def with_window(self, window: IntensityWindow | None) -> Scan:
        """The same scan, seen by models through this window; None: through each system's own.

        Raises InputError for a scan of colors, which have no window.
        """
        if window is not None and self.channels > 1:
            raise InputError("E-WINDOW-COLOR", "A color scan has no intensity window.", "Leave --window out.")
        return replace(self, intensity_window=window)

    def with_notices(self, *notices: Notice) -> Scan:
        return replace(self, notices=(*self.notices, *notices))


def _other_axis(grid: Grid, axis: int) -> Notice:
    """That slices are not those of the last axis, as prompts are then laid on another plane."""
    steps = " x ".join(f"{step:.4g}" for step in grid.spacing)
    return Notice(
        "W-SLICE-AXIS",
        f"Slices are taken along {grid.axes[axis]}, the thick axis of {steps} mm (--axis {grid.axes[2]} for the last).",
    )


@dataclass(frozen=True, slots=True, eq=False)
class CheckedFrames:
    """The frames of a scan, each as the scan says it is."""

    scan: Scan

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.scan.source.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.scan.dtype

    def read(self, index: int) -> Pixels:
        return self.scan.pixels(index)


_OPPOSITE = {code: pair for pair in ("LR", "PA", "IS") for code in pair}
