"""Where the slices of a DICOM volume lie: ordered by position, and audited before anyone trusts them.

A pixel's place is IPP + column * dx * row cosines + row * dy * column cosines, in LPS mm (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import GeometryError, Notice
from delineate.core.grid import Grid
from delineate.core.terminal_text import counted
from delineate.io.readers.dicom_slices import Plane, Slice, slice_step
from delineate.io.readers.dicom_volumes import SAME_PLACE
from delineate.io.readers.itk_space import ras_affine

SPACING_TOLERANCE = 0.02  # of the slice distance; scanners round positions
SHIFT_TOLERANCE = 0.1  # of a pixel, in the plane
MOST_FILLED = 20  # times as many slices as there are
LEAST_SHIFT = 1e-3  # of a pixel: a slice that moves less needs no room
TILT_ALLOWED = 0.5  # degrees between the stacking direction and the slices' normal

Resampler = Callable[[NDArray[Any]], NDArray[Any]]
Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SliceStack:
    """An audited stack.

    order     which of the given slices, in order along the normal
    grid      (columns, rows, slices)
    resample  turns the stacked voxels into those of the grid, where slices had gaps or were tilted; else None
    """

    order: tuple[int, ...]
    grid: Grid
    notices: tuple[Notice, ...] = ()
    resample: Resampler | None = None


@dataclass(frozen=True, eq=False)
class _Stack:
    """Slices in order, none twice.

    places   (N, 3) of their first pixels, LPS mm
    heights  (N,) along the normal of the first
    """

    slices: list[Slice]
    plane: Plane
    places: Vector
    heights: Vector
    order: tuple[int, ...]

    def grid(self, step: Vector, count: int | None = None) -> Grid:
        dy, dx = self.plane.spacing
        columns, rows = self.slices[0].size
        steps = [self.plane.row * dx, self.plane.column * dy, step]
        return Grid((columns, rows, count or len(self.slices)), ras_affine(steps, self.places[0], "LPS"))


def stack_slices(slices: Sequence[Slice], resample: bool, same: Callable[[Slice, Slice], bool]) -> SliceStack:
    """Order slices that all say where they lie by their position along the normal, and check that they fit together.

    same  whether two slices hold the same pixels, asked for those that lie at one place
    Raises GeometryError for slices that contradict each other, and for missing ones, uneven spacing and tilted gantries
    unless ``resample`` is asked for.
    """
    stack, notices = _ordered(slices, same)
    _require_agreement(stack)
    normal, heights = stack.plane.normal, stack.heights
    if len(stack.slices) == 1:
        step = slice_step(stack.slices[0].tags)
        if not step:
            notices.append(Notice("W-DICOM-THICKNESS", "The file does not say how thick the slice is; 1 mm is taken."))
        return SliceStack(stack.order, stack.grid(normal * (step or 1.0)), tuple(notices))
    if len(stack.slices) == 2:
        notices.append(Notice("W-DICOM-TWO", "Two slices: whether one is missing between them cannot be determined."))
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    drift = _drift(stack)
    _require_no_shift(stack, drift)
    if np.abs(gaps - usual).max() > max(SPACING_TOLERANCE * usual, SAME_PLACE):
        return _uneven(stack, gaps, usual, resample, notices)
    step = (stack.places[-1] - stack.places[0]) / (len(stack.slices) - 1)
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if tilt > TILT_ALLOWED:
        if not resample:
            raise GeometryError(
                "E-DICOM-TILT",
                f"The gantry was tilted: slices are stacked {tilt:.1f} degrees off their normal.",
                "Straighten them with --resample-irregular (the outline is then on the straightened grid).",
            )
        return _straightened(stack, usual, notices, tilt)
    return SliceStack(stack.order, stack.grid(step), tuple(notices))


def _ordered(slices: Sequence[Slice], same: Callable[[Slice, Slice], bool]) -> tuple[_Stack, list[Notice]]:
    """One slice a place; two that differ at the same place are refused."""
    plane = slices[0].plane
    assert plane is not None
    places = np.array([one.plane.position for one in slices if one.plane is not None])
    heights = places @ plane.normal
    kept: list[int] = []
    for n in (int(n) for n in np.argsort(heights, kind="stable")):
        if kept and heights[n] - heights[kept[-1]] < SAME_PLACE:
            if not same(slices[kept[-1]], slices[n]):
                raise GeometryError(
                    "E-DICOM-DUPLICATE",
                    f"{slices[kept[-1]].name} and {slices[n].name} are different slices at the same place "
                    f"({heights[n]:.2f} mm), and nothing in the file tells their volumes apart.",
                    "Keep the files of one volume, or export the series again.",
                )
            continue
        kept.append(n)
    twice = len(slices) - len(kept)
    notices = (
        [
            Notice(
                "W-DICOM-DUPLICATE",
                counted(twice, "slice that is there twice was left out.", "slices that are there twice were left out."),
            )
        ]
        if twice
        else []
    )
    return _Stack([slices[n] for n in kept], plane, places[kept], heights[kept], tuple(kept)), notices


def _require_agreement(stack: _Stack) -> None:
    """All slices have one pixel size, one kind of values, and lie in one room."""
    _require_same(stack, "PixelSpacing", " mm")
    for name in ("FrameOfReferenceUID", "RescaleType", "PhotometricInterpretation", "SamplesPerPixel"):
        _require_same(stack, name)


def _require_same(stack: _Stack, name: str, unit: str = "") -> None:
    values = [tuple(one.tags.numbers(name) if unit else one.tags.words(name)) for one in stack.slices]
    usual, _ = Counter(values).most_common(1)[0]
    for one, value in zip(stack.slices, values, strict=True):
        differs = value != usual
        if unit and len(value) == len(usual):
            differs = not np.allclose(np.asarray(value, float), np.asarray(usual, float), rtol=1e-3)
        if differs:
            shown = [" x ".join(str(part) for part in v) or "nothing" for v in (value, usual)]
            raise GeometryError(
                "E-DICOM-MIXED",
                f"{one.name} differs from the rest of the series: {name} is {shown[0][:64]}{unit}, "
                f"not {shown[1][:64]}{unit}.",
                "Leave such slices out of the folder, or export the series again.",
            )


def _drift(stack: _Stack) -> Vector:
    """(2,) mm sideways along row and column for each mm along the normal: 0 unless the gantry was tilted."""
    inside = stack.places @ np.stack([stack.plane.row, stack.plane.column], axis=1)
    return np.asarray(np.median(np.diff(inside, axis=0) / np.diff(stack.heights)[:, None], axis=0))


def _require_no_shift(stack: _Stack, drift: Vector) -> None:
    """No slice lies sideways of where the others say it should."""
    inside = stack.places @ np.stack([stack.plane.row, stack.plane.column], axis=1)
    off = inside - stack.heights[:, None] * drift
    off = np.linalg.norm(off - np.median(off, axis=0), axis=1)
    worst = int(off.argmax())
    if off[worst] > max(SHIFT_TOLERANCE * min(stack.plane.spacing), 5 * SAME_PLACE):
        raise GeometryError(
            "E-DICOM-SHIFT",
            f"{stack.slices[worst].name} lies {off[worst]:.2f} mm sideways of the other slices (ImagePositionPatient).",
            "Leave it out of the folder, or export the series again.",
        )


def _uneven(stack: _Stack, gaps: Vector, usual: float, resample: bool, notices: list[Notice]) -> SliceStack:
    heights, count = stack.heights, len(stack.slices)
    worst = int(np.abs(gaps - usual).argmax())
    missing = round(float(gaps[worst]) / usual) - 1
    what = (
        f"{counted(missing, 'slice')} missing after {heights[worst]:.2f} mm (slice {worst + 1} of {count})"
        if missing >= 1 and abs(gaps[worst] / usual - round(gaps[worst] / usual)) < 0.1
        else f"Slices are unevenly spaced: {gaps.min():.2f} to {gaps.max():.2f} mm, "
        f"oddest after {heights[worst]:.2f} mm"
    )
    if not resample:
        raise GeometryError(
            "E-DICOM-GAP", f"{what}.", "Export the series again, or fill in with --resample-irregular (interpolates)."
        )
    if (heights[-1] - heights[0]) / usual > MOST_FILLED * count:
        raise GeometryError(
            "E-DICOM-GAP", f"{what}: too little is there to fill in the rest.", "Export the series again."
        )
    wanted = heights[0] + usual * np.arange(round((heights[-1] - heights[0]) / usual) + 1)
    right = np.clip(np.searchsorted(heights, wanted), 1, count - 1)
    share = np.clip((wanted - heights[right - 1]) / (heights[right] - heights[right - 1]), 0, 1)

    def fill(voxels: NDArray[Any]) -> NDArray[Any]:
        shape = (1, 1, -1, *(1,) * (voxels.ndim - 3))
        mixed = voxels[:, :, right - 1] * (1 - share).reshape(shape) + voxels[:, :, right] * share.reshape(shape)
        return (np.round(mixed) if voxels.dtype.kind in "iu" else mixed).astype(voxels.dtype)

    notices.append(Notice("W-DICOM-RESAMPLED", f"{what}: slices were interpolated every {usual:.2f} mm."))
    return SliceStack(stack.order, stack.grid(stack.plane.normal * usual, len(wanted)), tuple(notices), fill)


def _straightened(stack: _Stack, usual: float, notices: list[Notice], tilt: float) -> SliceStack:
    """Slices shifted in their own plane so that they are stacked along their normal, on a grid with room for all."""
    from scipy import ndimage

    dy, dx = stack.plane.spacing
    drift = stack.places - stack.places[0]
    shifts = np.stack([drift @ stack.plane.row / dx, drift @ stack.plane.column / dy], axis=1)
    before = np.ceil(np.maximum(-shifts.min(axis=0), 0) - LEAST_SHIFT).astype(int)
    after = np.ceil(np.maximum(shifts.max(axis=0), 0) - LEAST_SHIFT).astype(int)

    def shear(voxels: NDArray[Any]) -> NDArray[Any]:
        rest, least = voxels.ndim - 3, voxels.min()
        margins = (*zip(before, after, strict=True), *((0, 0),) * rest)
        moved = [
            ndimage.shift(
                np.pad(voxels[:, :, k], margins, constant_values=least), (*shifts[k], *(0,) * rest), order=1, cval=least
            )
            for k in range(voxels.shape[2])
        ]
        return np.stack(moved, axis=2)

    notices.append(Notice("W-DICOM-SHEARED", f"A gantry tilt of {tilt:.1f} degrees was straightened by resampling."))
    narrow = stack.grid(stack.plane.normal * usual)
    start = np.eye(4)
    start[:2, 3] = -before
    columns, rows = np.array(narrow.shape[:2]) + before + after
    grid = Grid((int(columns), int(rows), narrow.shape[2]), narrow.affine @ start)
    return SliceStack(stack.order, grid, tuple(notices), shear)
