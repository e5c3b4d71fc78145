"""The pictures of DICOM files, one by one: a file of its own each, or frames of one file; and where each lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from delineate.core.errors import GeometryError, InputError, Notice
from delineate.io.readers.dicom_tags import Tags

ASSUMED = Notice(
    "W-DICOM-STACKED",
    "The file gives the place of its first frame and the distance of slices: the others were taken to follow along the "
    "normal, in the order stored.",
)
Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Plane:
    """Where a slice lies, in LPS mm (PS3.3 C.7.6.2.1.1).

    position     of the first pixel
    row, column  unit vectors along a row (x) and down a column (y)
    spacing      between rows, and between columns
    """

    position: Vector
    row: Vector
    column: Vector
    spacing: tuple[float, float]

    @property
    def normal(self) -> Vector:
        return np.cross(self.row, self.column)

    @property
    def height(self) -> float:
        """Along the normal."""
        return float(self.position @ self.normal)


@dataclass(frozen=True, eq=False)
class Slice:
    """One picture.

    frame   its number in the file
    plane   None where the file does not say where it lies
    vectors what a nuclear medicine file says of the frame, such as ``{"EnergyWindow": 2}``
    """

    path: Path
    frame: int
    tags: Tags
    plane: Plane | None
    vectors: dict[str, int]

    @property
    def name(self) -> str:
        several = frame_count(self.tags) > 1
        return f"frame {self.frame} of {self.path.name}" if several else self.path.name

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.tags.whole("Columns") or 0, self.tags.whole("Rows") or 0


def frame_count(tags: Tags) -> int:
    return max(1, tags.whole("NumberOfFrames") or 1)


def slices_of(path: Path, tags: Tags) -> list[Slice]:
    """A file's pictures in the order they are stored in."""
    count = frame_count(tags)
    groups = tags.items("PerFrameFunctionalGroupsSequence")
    if groups:
        if len(groups) != count:
            raise InputError(
                "E-DICOM-FRAMES", f"{path.name} says it has {count} frames, and describes {len(groups)}.",
                "Export it again.",
            )  # fmt: skip
        shared = tuple(item.data for item in tags.items("SharedFunctionalGroupsSequence")[:1])
        framed = [tags.framed(group.data, *shared) for group in groups]
        return [Slice(path, n, one, plane_of(one), {}) for n, one in enumerate(framed)]
    vectors = _vectors(tags, count)
    if count == 1:
        return [Slice(path, 0, tags, plane_of(tags), vectors[0])]
    first, offsets = _first_plane(tags), _offsets(tags, count)
    planes: list[Plane | None] = [None] * count
    if first is not None and offsets is not None:
        planes = [_moved(first, offset) for offset in offsets]
    return [Slice(path, n, tags, planes[n], vectors[n]) for n in range(count)]


def plane_of(tags: Tags) -> Plane | None:
    """Raises GeometryError for directions that are none, and spacings that are no lengths."""
    position, cosines = tags.numbers("ImagePositionPatient", 3), tags.numbers("ImageOrientationPatient", 6)
    spacing = pixel_spacing(tags)
    if not position or not cosines or spacing is None:
        return None
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    off = max(abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column))
    if off > 0.01:
        raise GeometryError(
            "E-DICOM-ORIENTATION",
            f"{tags.path.name}: ImageOrientationPatient is not two right-angled directions: {list(cosines)}.",
            "Export the series again.",
        )
    return Plane(np.array(position), row, column, spacing)


def pixel_spacing(tags: Tags) -> tuple[float, float] | None:
    """mm between rows, and between columns, in the patient."""
    steps = tags.numbers("PixelSpacing", 2)
    if not steps:
        return None
    if min(steps) <= 0:
        raise GeometryError(
            "E-DICOM-SPACING", f"{tags.path.name}: PixelSpacing is {list(steps)} mm.", "Export the series again."
        )
    return steps[0], steps[1]


def slice_step(tags: Tags) -> float | None:
    """mm between slices, as the file says."""
    return next((abs(v) for n in ("SpacingBetweenSlices", "SliceThickness") if (v := tags.number(n))), None)


def _first_plane(tags: Tags) -> Plane | None:
    """Of a file without functional groups; nuclear medicine keeps it with its first detector (PS3.3 C.8.4.11)."""
    if (plane := plane_of(tags)) is not None:
        return plane
    detectors = tags.items("DetectorInformationSequence")
    return plane_of(tags.framed(_detector_group(detectors[0].data))) if detectors else None


def _detector_group(detector: Dataset) -> Dataset:
    """A detector's place as a functional group would say it."""
    group = Dataset()
    group.PlanePositionSequence = group.PlaneOrientationSequence = [detector]
    return group


def _offsets(tags: Tags, count: int) -> list[float] | None:
    """mm of each frame along the normal, from the first; None where the file does not say that frames are slices."""
    grid = tags.numbers("GridFrameOffsetVector", count)
    if grid:  # of doses: heights of their own where the first is not 0 (PS3.3 C.8.8.3.2)
        return [value - grid[0] for value in grid]
    step = tags.number("SpacingBetweenSlices")
    if not step:
        return None
    numbers = tags.numbers("SliceVector", count)
    if numbers:
        return [(number - 1) * step for number in numbers]
    in_time = tags.number("FrameTime") or tags.number("CineRate") or tags.numbers("FrameTimeVector")
    return None if in_time else [n * step for n in range(count)]


def _moved(plane: Plane, offset: float) -> Plane:
    return Plane(plane.position + offset * plane.normal, plane.row, plane.column, plane.spacing)


_VECTORS = ("EnergyWindow", "Detector", "Phase", "RRInterval", "TimeSlot", "Rotation", "AngularView")


def _vectors(tags: Tags, count: int) -> list[dict[str, int]]:
    """What tells frames of one place apart, of each."""
    said = {name: tags.numbers(f"{name}Vector") for name in _VECTORS}
    there = {name: values for name, values in said.items() if len(values) == count and len(set(values)) > 1}
    return [{name: int(values[n]) for name, values in there.items()} for n in range(count)]


def places_are_assumed(tags: Tags) -> bool:
    """Whether a file of frames gives the place of the first one and a distance alone."""
    words = ("PerFrameFunctionalGroupsSequence", "SliceVector", "GridFrameOffsetVector")
    return frame_count(tags) > 1 and not (tags.items(words[0]) or any(tags.numbers(name) for name in words[1:]))


def placed(slices: Sequence[Slice]) -> bool:
    """Whether all of them say where they lie."""
    return all(one.plane is not None for one in slices)
