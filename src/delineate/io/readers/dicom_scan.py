"""Slices of DICOM files as an image, a volume or a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Grid, Placement
from delineate.core.scan import Scan, ScanKind
from delineate.io.held_file import HeldFile
from delineate.io.limits import check_frames, check_volume
from delineate.io.options import ReadOptions
from delineate.io.readers.dicom_geometry import stack_slices
from delineate.io.readers.dicom_pixels import DicomPixels, PixelReader, mirror_of, pixel_bytes, rescaled_type, window_of
from delineate.io.readers.dicom_slices import Plane, Slice, pixel_spacing, slice_step
from delineate.io.readers.dicom_tags import Tags
from delineate.io.readers.modality import from_dicom

CENTIMETERS: Final = 3  # code of PhysicalUnitsXDirection
DETECTOR: Final = Notice(
    "W-DICOM-DETECTOR",
    "The size of pixels is the one on the detector (ImagerPixelSpacing): what lies before it is smaller than measured.",
)
REGIONS: Final = Notice(
    "W-DICOM-REGIONS", "The picture has ultrasound regions of different scale: lengths are told in pixels, not in mm."
)


@dataclass(eq=False)
class SlicePixels:
    """Pixels of slices, decoded one at a time; of files that hold many, one stays open."""

    mirror: float | None
    _readers: dict[Path, PixelReader] = field(default_factory=dict)

    @classmethod
    def of(cls, slices: Sequence[Slice]) -> SlicePixels:
        """With one inversion for all of them, where they show low values bright."""
        mirrors = [m for one in slices if (m := mirror_of(one.tags)) is not None]
        return cls(max(mirrors) if mirrors else None)

    def read(self, one: Slice) -> DicomPixels:
        if one.path not in self._readers:
            self.close()
            self._readers[one.path] = PixelReader(one.path)
        mirror = None if mirror_of(one.tags) is None else self.mirror  # beside it may lie frames that are not inverted
        return self._readers[one.path].read(one.frame, one.tags, mirror)

    def same(self, one: Slice, other: Slice) -> bool:
        """Whether two slices hold the same values."""
        return np.array_equal(self.read(one).array, self.read(other).array)

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()


class SequenceFrames(HeldFile):
    """Frames of a clip, decoded one at a time."""

    def __init__(self, slices: Sequence[Slice]) -> None:
        super().__init__(slices[0].path)
        self._slices, self._pixels = slices, SlicePixels.of(slices)
        first = self._pixels.read(slices[0])
        self.notices, self._lowest = first.notices, first.lowest
        self.shape = (len(slices), *first.array.shape)
        kinds = {first.array.dtype} | {kind for one in slices if (kind := rescaled_type(one.tags)) is not None}
        whole = all(kind.kind in "iub" for kind in kinds)  # of every frame, each of which may be rescaled otherwise
        self.dtype: np.dtype[Any] = np.result_type(*kinds) if whole else np.dtype(np.float32)

    @property
    def mirror(self) -> float | None:
        return self._pixels.mirror

    def _read(self, index: int) -> NDArray[Any]:
        array = self._pixels.read(self._slices[index]).filled(self._lowest)
        if array.shape != self.shape[1:]:
            raise InputError(
                "E-FRAMES-MIXED",
                f"{self._slices[index].name} has the shape {array.shape}, the first frame {self.shape[1:]}.",
                "Frames and labels of one video have one size and one kind of pixels: move what differs elsewhere.",
            )
        if array.dtype == self.dtype or self.dtype.kind not in "iu":
            return array.astype(self.dtype, copy=False)
        limits = np.iinfo(self.dtype)
        return np.clip(array, limits.min, limits.max).astype(self.dtype)

    def _release(self) -> None:
        self._pixels.close()


def image(one: Slice) -> Scan:
    pixels = SlicePixels.of([one])
    decoded = pixels.read(one)
    pixels.close()
    if one.plane is None:
        grid, notices = _upright_grid(one.tags, one.size, ("x", "y"))
    else:
        grid, notices = Grid(one.size, _placed_grid(one, one.plane).affine, ("i", "j")), []
    return Scan.from_image(
        decoded.filled(),
        grid,
        modality=from_dicom(one.tags.text("Modality")),
        window=window_of(one.tags, pixels.mirror),
        notices=(*decoded.notices, *notices),
    )


def volume(slices: Sequence[Slice], options: ReadOptions) -> tuple[Scan, list[Path]]:
    """Slices that say where they lie, stacked; and the files used, in order.

    Slices are taken along the axis they were acquired along.
    """
    check_frames(slices[0].path, len(slices), options)
    pixels = SlicePixels.of(slices)
    stack = stack_slices(slices, options.resample_irregular, pixels.same)
    used = [slices[n] for n in stack.order]
    check_volume(slices[0].path, stack.grid.shape, pixel_bytes(slices[0].tags), options)
    voxels, notices = _stacked(used, pixels)
    scan = Scan.from_volume(
        voxels if stack.resample is None else stack.resample(voxels),
        stack.grid,
        2,
        modality=from_dicom(used[0].tags.text("Modality")),
        window=window_of(used[0].tags, pixels.mirror),
        notices=(*stack.notices, *notices),
    )
    return scan, list(dict.fromkeys(one.path for one in used))


def unplaced_volume(slices: Sequence[Slice], options: ReadOptions) -> Scan:
    """Frames taken as slices because the person says so; what the file says of their distances is kept."""
    first = slices[0].tags
    check_frames(slices[0].path, len(slices), options)
    columns, rows = slices[0].size
    shape = (columns, rows, len(slices))
    check_volume(slices[0].path, shape, pixel_bytes(first), options)
    pixels = SlicePixels.of(slices)
    voxels, notices = _stacked(slices, pixels)
    spacing, step = pixel_spacing(first), slice_step(first)
    known = spacing is not None and step
    grid = Grid.scaled(shape, (spacing[1], spacing[0], step)) if spacing and step else None
    notices.append(
        Notice(
            "W-DICOM-STACKED",
            "The file does not say where its frames lie; they were taken as slices in the order stored"
            + (f", {step:g} mm apart." if known else ", at unknown distances."),
        )
    )
    return Scan.from_volume(
        voxels,
        grid or Grid(shape, placement=Placement.PIXELS),
        2,
        modality=from_dicom(first.text("Modality")),
        window=window_of(first, pixels.mirror),
        notices=tuple(notices),
    )


def clip(slices: Sequence[Slice], options: ReadOptions) -> Scan:
    """Frames in time; their pixels have the size that the file says."""
    check_frames(slices[0].path, len(slices), options)
    tags, frames = slices[0].tags, SequenceFrames(slices)
    grid, notices = _upright_grid(tags, (*slices[0].size, len(slices)), ("x", "y", "t"))
    return Scan(
        ScanKind.VIDEO,
        frames,
        grid,
        modality=from_dicom(tags.text("Modality")),
        window=window_of(tags, frames.mirror),
        times=_times(tags, len(slices)),
        notices=(*frames.notices, *notices),
    )


def _stacked(slices: Sequence[Slice], pixels: SlicePixels) -> tuple[NDArray[Any], list[Notice]]:
    """(i, j, k[, 3]): columns, rows, slices."""
    decoded, notices = [], list[Notice]()
    for one in slices:
        decoded.append(pixels.read(one))
        notices.extend(n for n in decoded[-1].notices if n not in notices)
    pixels.close()
    lowest = min((low for one in decoded if (low := one.lowest) is not None), default=None)
    shapes = {one.array.shape for one in decoded}
    if len(shapes) > 1:
        raise InputError(
            "E-DICOM-MIXED",
            f"The slices have different shapes: {sorted(shapes)}.",
            "Name one series with --series, or move what differs elsewhere.",
        )
    arrays = [one.filled(lowest) for one in decoded]
    stacked = np.stack(arrays, axis=2, dtype=np.result_type(*arrays), casting="unsafe")
    return stacked.swapaxes(0, 1), notices


def _upright_grid(tags: Tags, shape: tuple[int, ...], axes: tuple[str, ...]) -> tuple[Grid, list[Notice]]:
    """Of pictures that do not say where they lie: the size of their pixels, or pixels; what should be known of it."""
    patient, regions = pixel_spacing(tags), _ultrasound_spacings(tags)
    detector = None if patient else _detector_spacing(tags)
    agreed = regions[0] if regions and np.allclose(regions, regions[0], rtol=1e-3, atol=0) else None
    steps = patient or detector or agreed
    if steps is None:
        return Grid(shape, axes=axes, placement=Placement.PIXELS), [REGIONS] if regions else []
    return Grid.scaled(shape, (steps[1], steps[0], 1.0), axes), [DETECTOR] if detector else []


def _placed_grid(one: Slice, plane: Plane) -> Grid:
    return stack_slices([one], False, lambda a, b: True).grid


def _detector_spacing(tags: Tags) -> tuple[float, float] | None:
    steps = tags.numbers("ImagerPixelSpacing", 2)
    return (steps[0], steps[1]) if steps and min(steps) > 0 else None


def _ultrasound_spacings(tags: Tags) -> list[tuple[float, float]]:
    """mm between rows and columns in each region whose units are centimeters."""
    found = []
    for region in tags.items("SequenceOfUltrasoundRegions"):
        units = {region.whole(f"PhysicalUnits{axis}Direction") for axis in "XY"}
        steps = [abs(region.number(f"PhysicalDelta{axis}") or 0) * 10 for axis in "YX"]
        if units == {CENTIMETERS} and min(steps) > 0:
            found.append((steps[0], steps[1]))
    return found


def _times(tags: Tags, count: int) -> tuple[float, ...] | None:
    vector = tags.numbers("FrameTimeVector")
    if len(vector) == count:
        return tuple(float(t) for t in np.cumsum(vector) / 1000)
    step = (tags.number("FrameTime") or 0) / 1000
    if not step and (rate := tags.number("CineRate") or tags.number("RecommendedDisplayFrameRate")):
        step = 1 / rate
    return tuple(n * step for n in range(count)) if step > 0 else None
