"""Contours of radiotherapy (DICOM RTSTRUCT, PS3.3 C.8.8.6) filled on the grid of the scan they were drawn on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice, PromptError
from delineate.core.grid import Placement, Space
from delineate.core.hashing import sha256_of
from delineate.core.polygons import filled_polygon
from delineate.core.scan import Scan, ScanKind, SourceFile
from delineate.core.terminal_text import counted
from delineate.io.readers.dicom import looks_like_dicom, tags_of
from delineate.io.readers.dicom_origin import structure_set_origin
from delineate.io.readers.dicom_tags import Tags

FORMAT: Final = "DICOM RTSTRUCT"
CLASS: Final = b"1.2.840.10008.5.1.4.1.1.481.3"
OFF_SLICE: Final = 0.3  # of a slice distance, that a contour may lie beside the middle of its slice
MOST_POINTS: Final = 10_000_000
HEAD: Final = 4096


def is_structure_set(path: Path) -> bool:
    """Whether a file holds contours of radiotherapy."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    return looks_like_dicom(head) and CLASS in head


def contours_on(path: Path, scan: Scan) -> Scan:
    """A label map on the grid of a volume: a label a structure, by its number.

    A contour within another of the same structure is a hole in it. Where structures overlap, the later one counts.
    Raises PromptError for a scan that does not say where it lies, InputError for contours that are not on its slices.
    """
    if scan.kind is not ScanKind.VOLUME or scan.grid.placement is not Placement.WORLD:
        raise PromptError(
            "E-RTSTRUCT-SCAN", f"{path.name} has contours in millimeters, and the scan does not say where it lies.",
            "Open the DICOM series that it was drawn on.",
        )  # fmt: skip
    tags = tags_of(path)
    names = {one.whole("ROINumber") or 0: one.text("ROIName") for one in tags.items("StructureSetROISequence")}
    labels, overlap, there = np.zeros(scan.grid.shape, np.uint16), 0, []
    for number, contours in _structures(path, tags):
        inside = _filled(path, contours, scan)
        if inside is None:
            continue
        overlap += int(((labels != 0) & inside).sum())
        labels[inside] = number
        there.append(f"{number} {names.get(number, '')}".strip())
    if not there:
        raise InputError(
            "E-RTSTRUCT-ELSEWHERE", f"{path.name} has no closed contour on this scan.",
            "Check that both are of one patient and one study.",
        )  # fmt: skip
    notices = [
        Notice("W-RTSTRUCT", f"Contours of {counted(len(there), 'structure')} were filled: {', '.join(there[:8])}.")
    ]
    if overlap:
        notices.append(
            Notice("W-LABELS-OVERLAP", f"Structures overlap in {overlap} voxels: the later one counts there.")
        )
    file = SourceFile(path, FORMAT, sha256_of(path))
    filled = Scan.from_volume(labels, scan.grid, scan.slice_axis, file=file)
    return replace(filled, notices=tuple(notices), origin=structure_set_origin(tags))


def _structures(path: Path, tags: Tags) -> Iterator[tuple[int, list[NDArray[np.float64]]]]:
    """Number and closed contours (N, 3), LPS mm, of each structure."""
    points = 0
    for roi in tags.items("ROIContourSequence"):
        number = roi.whole("ReferencedROINumber") or 0
        if not 0 < number < 2**16:
            raise InputError("E-RTSTRUCT", f"{path.name} has a structure with the number {number}.", "Export it again.")
        contours = []
        for one in roi.items("ContourSequence"):
            if one.text("ContourGeometricType") not in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", ""):
                continue
            data = one.numbers("ContourData")
            points += len(data)
            if len(data) % 3 or points > 3 * MOST_POINTS:
                raise InputError("E-RTSTRUCT", f"{path.name} has a contour of {len(data)} numbers.", "Export it again.")
            if len(data) >= 9:
                contours.append(np.array(data).reshape(-1, 3))
        yield number, contours


def _filled(path: Path, contours: list[NDArray[np.float64]], scan: Scan) -> NDArray[np.bool_] | None:
    """The inside of contours, bool (i, j, k); None where none of them lies on the scan."""
    axis, (x, y) = scan.slice_axis, scan.frame_axes
    inside: NDArray[np.bool_] | None = None
    for contour in contours:
        voxels = scan.grid.to_voxel(contour, Space.LPS)
        at = float(np.median(voxels[:, axis]))
        frame = round(at)
        if not -0.5 < at < len(scan) - 0.5:
            continue
        if np.abs(voxels[:, axis] - frame).max() > OFF_SLICE:
            raise InputError(
                "E-RTSTRUCT-PLANE", f"{path.name} has a contour beside the slices of the scan (at slice {at:.2f}).",
                "Take the series that it was drawn on, sliced as it was acquired.",
            )  # fmt: skip
        inside = np.zeros(scan.grid.shape, bool) if inside is None else inside
        plane = np.moveaxis(inside, axis, 0)[frame]  # (x, y), a view
        plane ^= filled_polygon(voxels[:, [x, y]], scan.height, scan.width).T
    return inside
