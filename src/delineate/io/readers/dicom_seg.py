"""DICOM segmentations (PS3.3 C.8.20) as label maps: a label a segment, on the grid that their frames lie on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import GeometryError, InputError, Notice
from delineate.core.grid import Grid
from delineate.core.hashing import sha256_of
from delineate.core.scan import Scan, SourceFile
from delineate.io.limits import check_frames, check_volume
from delineate.io.options import ReadOptions
from delineate.io.readers.dicom_origin import seg_origin
from delineate.io.readers.dicom_pixels import PixelReader
from delineate.io.readers.dicom_slices import Slice, Vector, frame_count, slice_step, slices_of
from delineate.io.readers.dicom_tags import Tags
from delineate.io.readers.itk_space import ras_affine

FORMAT: Final = "DICOM SEG"
CLASSES: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # segments by frame; a label map
SAME_PLACE: Final = 0.01  # mm
OFF_STEP: Final = 0.05  # of a slice distance, that a frame may lie off a whole number of them


def is_segmentation(tags: Tags) -> bool:
    return tags.text("SOPClassUID") in CLASSES


def segment_names(tags: Tags) -> dict[int, str]:
    """What the segments are called, by number."""
    segments = tags.items("SegmentSequence")
    return {one.whole("SegmentNumber") or n: one.text("SegmentLabel") for n, one in enumerate(segments, 1)}


def read(path: Path, tags: Tags, options: ReadOptions) -> Scan:
    """A label map: frames that are not stored are empty; where segments overlap, the later one counts, which is told.

    Of fractions, half and more is inside. Raises InputError and GeometryError where frames say no place, no segment, or
    contradict each other.
    """
    if tags.whole("TotalPixelMatrixColumns") is not None:
        raise InputError(
            "E-DICOM-SLIDE", f"{path.name} is of a tiled slide.", "Export a region of it as TIFF or PNG."
        )  # fmt: skip
    check_frames(path, frame_count(tags), options)
    slices = slices_of(path, tags)
    grid, places = _grid(path, slices)
    check_volume(path, grid.shape, 2, options)
    segments = _segments(path, tags, len(slices))
    voxels, overlap = _filled(path, tags, slices, places, segments, grid.shape)
    names = segment_names(tags)
    told = ", ".join(f"{number} {name}".strip() for number, name in list(names.items())[:8])
    notices = [Notice("W-DICOM-SEG", f"A segmentation with {len(names)} segments, taken as labels: {told}.")]
    if overlap:
        text = f"Segments overlap in {overlap} voxels: the later one counts there."
        notices.append(Notice("W-LABELS-OVERLAP", text))
    file = SourceFile(path, FORMAT, sha256_of(path))
    return Scan.from_volume(voxels, grid, 2, file=file, notices=tuple(notices), origin=seg_origin(tags))


def _grid(path: Path, slices: Sequence[Slice]) -> tuple[Grid, list[int]]:
    """The grid of all frames, and the slice each lies on."""
    planes = [one.plane for one in slices]
    first = planes[0]
    if first is None or any(plane is None for plane in planes):
        raise InputError("E-DICOM-SEG", f"{path.name} does not say where its frames lie.", "Export it again.")
    positions = np.array([plane.position for plane in planes if plane is not None])
    turned = max(max(np.abs(p.row - first.row).max(), np.abs(p.column - first.column).max()) for p in planes if p)
    normal = first.normal
    heights = positions @ normal
    sideways = positions - positions[0] - np.outer(heights - heights[0], normal)
    if turned > 1e-3 or np.abs(sideways).max() > SAME_PLACE * 5:
        raise GeometryError(
            "E-DICOM-SEG", f"{path.name}: its frames are not parallel slices of one stack.", "Export it again."
        )
    step = _step(heights, slice_step(slices[0].tags))
    low = float(heights.min())
    at = (heights - low) / step
    places = np.rint(at).astype(int)
    if np.abs(at - places).max() > OFF_STEP:
        raise GeometryError(
            "E-DICOM-SEG", f"{path.name}: its frames are not whole numbers of {step:g} mm apart.", "Export it again."
        )
    dy, dx = first.spacing
    columns, rows = slices[0].size
    start: Vector = positions[int(heights.argmin())]
    affine = ras_affine([first.row * dx, first.column * dy, normal * step], start, "LPS")
    return Grid((columns, rows, int(places.max()) + 1), affine), [int(n) for n in places]


def _step(heights: Vector, said: float | None) -> float:
    """mm between slices: the least there is between two frames, as segments leave empty slices out."""
    gaps = np.diff(np.unique(np.round(heights, 4)))
    gaps = gaps[gaps > SAME_PLACE]
    if not len(gaps):
        return said or 1.0
    least = float(gaps.min())
    whole = said is not None and said > 0 and np.abs(gaps / said - np.rint(gaps / said)).max() <= OFF_STEP
    return said if whole and said is not None else least


def _segments(path: Path, tags: Tags, count: int) -> list[int | None]:
    """The segment of each frame; None where the pixels are labels."""
    if tags.text("SegmentationType") == "LABELMAP":
        return [None] * count
    shared = [number for one in tags.items("SharedFunctionalGroupsSequence") if (number := _number(one))]
    groups = tags.items("PerFrameFunctionalGroupsSequence")
    found = [_number(group) or (shared[0] if shared else None) for group in groups]
    if not found or any(number is None or not 0 < number < 2**16 for number in found):
        raise InputError("E-DICOM-SEG", f"{path.name} does not say of which segment each frame is.", "Export it again.")
    return list(found)


def _number(group: Tags) -> int | None:
    items = group.items("SegmentIdentificationSequence")
    return items[0].whole("ReferencedSegmentNumber") if items else None


def _filled(
    path: Path, tags: Tags, slices: Sequence[Slice], places: Sequence[int], segments: Sequence[int | None],
    shape: Sequence[int],
) -> tuple[NDArray[np.uint16], int]:  # fmt: skip
    """Labels (i, j, k), and in how many voxels a segment lies over another."""
    voxels, overlap = np.zeros(tuple(shape), np.uint16), 0
    half = (tags.whole("MaximumFractionalValue") or 255) / 2 if tags.text("SegmentationType") == "FRACTIONAL" else 0.5
    reader = PixelReader(path)
    try:
        for one, place, number in zip(slices, places, segments, strict=True):
            pixels = _frame(reader, one, path)
            plane = voxels[:, :, place]
            inside = pixels > 0 if number is None else pixels >= half
            labels: Any = pixels[inside] if number is None else number
            overlap += int(((plane != 0) & inside).sum())
            plane[inside] = labels
    finally:
        reader.close()
    return voxels, overlap


def _frame(reader: PixelReader, one: Slice, path: Path) -> NDArray[Any]:
    """One frame (x, y)."""
    pixels = reader.stored(one.frame)
    if pixels.ndim != 2 or pixels.shape[::-1] != one.size:
        raise InputError("E-DICOM-SEG", f"{path.name}: frame {one.frame} is {pixels.shape}.", "Export it again.")
    return pixels.T
