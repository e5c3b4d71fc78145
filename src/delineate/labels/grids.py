"""Whether files of labels, and the scan they were drawn on, lie on one grid; bringing labels onto another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from delineate.core.alignment import Fit, fit_of, moved
from delineate.core.errors import GeometryError, Notice
from delineate.core.grid import Placement
from delineate.core.origin import origin_notices
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation
from delineate.core.terminal_text import command
from delineate.labels.reading import LabelFile
from delineate.outlines.stacks import stack_of, with_stack

_SAYS_MORE: Final = (Placement.PIXELS, Placement.SCALE, Placement.WORLD)


def require_same_grid(first: LabelFile, second: LabelFile | Scan) -> tuple[Notice, ...]:
    """Raise GeometryError, with the way out, if two do not have the same voxels in the same places.

    Gives what should be known of two that are of different frames of reference. Raises InputError where they are of
    different patients.
    """
    scan = second.scan if isinstance(second, LabelFile) else second
    own = first.segmentation
    grid = second.segmentation.grid if isinstance(second, LabelFile) else scan.grid
    kind = second.segmentation.kind if isinstance(second, LabelFile) else scan.kind
    if kind is own.kind and fit_of(grid, own.grid) is Fit.SAME:
        return origin_notices(first.scan, scan, first.path.name)
    name = scan.file.path if scan.file else "the other one"
    if kind is not own.kind or fit_of(grid, own.grid) is Fit.UNKNOWN:
        hint = "Take files of one scan; labels whose place in space is unknown cannot be brought onto another grid."
    else:
        way = command("delineate", "convert", first.path, "--like", name, "-o", "same-grid.nii.gz")
        hint = f"Bring one onto the grid of the other: {way}"
    raise GeometryError(
        "E-LABELS-GRID", f"{first.path.name} ({own.kind}, {own.grid!r}) and {name} ({kind}, {grid!r}) differ.", hint
    )


def best_placed(files: Sequence[LabelFile], scan: Scan | None = None) -> list[LabelFile]:
    """Files of labels on one grid, all of them with the place in space that the one knows which says most of it.

    Such as a PNG or an archive of arrays beside the scan it was drawn on.
    """
    best = max((one for one in (*(file.scan for file in files), scan) if one), key=_said)
    return [file if _said(file.scan) == _said(best) else _placed_as(file, best) for file in files]


def _said(scan: Scan) -> int:
    return _SAYS_MORE.index(scan.grid.placement)


def _placed_as(file: LabelFile, other: Scan) -> LabelFile:
    scan = replace(file.scan, grid=other.grid, geometry=other.geometry)
    return replace(file, scan=scan, segmentation=replace(file.segmentation, grid=other.grid))


def resampled(outlines: Segmentation, scan: Scan) -> Segmentation:
    """Outlines brought onto the grid of a scan by where they lie: the nearest voxel.

    Raises GeometryError where one of the two does not say where it lies and their sizes differ.
    """
    if outlines.kind is not scan.kind or (fit := fit_of(outlines.grid, scan.grid)) is Fit.UNKNOWN:
        raise GeometryError(
            "E-LABELS-PLACE",
            f"Labels on {outlines.grid!r} ({outlines.kind}) cannot be brought onto {scan.grid!r} ({scan.kind}): "
            "one of them does not say where it lies.",
            "Take files that keep the place in space, such as .nii.gz, .nrrd or .mha.",
        )
    found = Segmentation.empty(scan)
    for one in outlines.objects:
        stack = stack_of(outlines, one.name)
        there = stack if fit is Fit.SAME else _moved(stack, outlines, scan)
        found = with_stack(found.adding(one.name, one.color, one.label), one.name, there)
    return found


def _moved(stack: np.ndarray, outlines: Segmentation, scan: Scan) -> np.ndarray:
    if scan.kind is ScanKind.VIDEO:
        raise GeometryError("E-LABELS-PLACE", "Frames of videos have no place in space.", "Take files of one video.")
    return np.asarray(moved(stack, outlines.grid, scan.grid), bool)
