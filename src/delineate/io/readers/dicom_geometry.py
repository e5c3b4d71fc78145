"""Where the slices of a DICOM series lie: ordered by position, and audited before anyone trusts them.

A pixel's place is IPP + column * dx * row cosines + row * dy * column cosines, in LPS mm (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from delineate.core.errors import GeometryError, Notice
from delineate.core.grid import Grid
from delineate.io.readers.itk_space import ras_affine

SPACING_TOLERANCE = 0.02  # of the slice distance; scanners round positions
SAME_PLACE = 0.01  # mm
TILT_ALLOWED = 0.5  # degrees between the stacking direction and the slices' normal

Resampler = Callable[[NDArray[Any]], NDArray[Any]]


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


def stack_slices(slices: Sequence[Dataset], paths: Sequence[Path], resample: bool) -> SliceStack:
    """Order slices by their position along the normal, and check the spacing.

    Raises GeometryError for missing slices, uneven spacing and tilted gantries unless ``resample`` is asked for.
    """
    row, column, normal = _directions(slices[0])
    dy, dx = _pixel_spacing(slices[0])
    places = np.array([[float(v) for v in s.ImagePositionPatient] for s in slices])
    heights = places @ normal
    order = [int(n) for n in np.argsort(heights, kind="stable")]
    order, notices = _without_duplicates(order, heights, slices, paths)
    size = (int(slices[0].Columns), int(slices[0].Rows), len(order))
    first = places[order[0]]
    if len(order) == 1:
        thickness = float(slices[0].get("SpacingBetweenSlices") or slices[0].get("SliceThickness") or 1.0)
        step = normal * (thickness or 1.0)
        return SliceStack(tuple(order), _grid(size, row * dx, column * dy, step, first), tuple(notices))
    if len(order) == 2:
        notices.append(Notice("W-DICOM-TWO", "Two slices: whether one is missing between them cannot be told."))
    gaps = np.diff(heights[order])
    usual = float(np.median(gaps))
    if np.abs(gaps - usual).max() > max(SPACING_TOLERANCE * usual, SAME_PLACE):
        return _uneven(order, heights, gaps, usual, size, (row * dx, column * dy, normal), first, resample, notices)
    mean_step = (places[order[-1]] - first) / (len(order) - 1)
    tilt = float(np.degrees(np.arccos(np.clip(mean_step @ normal / np.linalg.norm(mean_step), -1, 1))))
    if tilt > TILT_ALLOWED:
        if not resample:
            raise GeometryError(
                "E-DICOM-TILT",
                f"The gantry was tilted: slices are stacked {tilt:.1f} degrees off their normal.",
                "Straighten them with --resample-irregular (the outline is then on the straightened grid).",
            )
        return _straightened(order, places, usual, size, (row, column, normal), (dx, dy), notices, tilt)
    return SliceStack(tuple(order), _grid(size, row * dx, column * dy, mean_step, first), tuple(notices))


def _directions(tags: Dataset) -> tuple[NDArray[np.float64], ...]:
    cosines = np.array([float(v) for v in tags.get("ImageOrientationPatient", (1, 0, 0, 0, 1, 0))])
    row, column = cosines[:3], cosines[3:]
    if not np.isfinite(cosines).all() or abs(row @ column) > 0.01 or abs(np.linalg.norm(row) - 1) > 0.01:
        raise GeometryError(
            "E-DICOM-ORIENTATION", f"ImageOrientationPatient is not two right-angled directions: {cosines}."
        )
    return row, column, np.cross(row, column)


def _pixel_spacing(tags: Dataset) -> tuple[float, float]:
    """mm between rows, and between columns."""
    steps = [float(v) for v in tags.get("PixelSpacing", (1, 1))]
    if len(steps) != 2 or not np.isfinite(steps).all() or min(steps) <= 0:
        raise GeometryError("E-DICOM-SPACING", f"PixelSpacing is {steps}.")
    return steps[0], steps[1]


def _grid(size: tuple[int, int, int], i: Any, j: Any, k: Any, first: Any) -> Grid:
    return Grid(size, ras_affine([i, j, k], first, "LPS"))


def _without_duplicates(
    order: list[int], heights: NDArray[np.float64], slices: Sequence[Dataset], paths: Sequence[Path]
) -> tuple[list[int], list[Notice]]:
    """One slice a place; two that differ at the same place are refused."""
    from delineate.io.readers.dicom_pixels import pixels_of

    kept: list[int] = []
    dropped = 0
    for n in order:
        if kept and abs(heights[n] - heights[kept[-1]]) < SAME_PLACE:
            if not np.array_equal(pixels_of(paths[kept[-1]])[0], pixels_of(paths[n])[0]):
                raise GeometryError(
                    "E-DICOM-DUPLICATE",
                    f"{paths[kept[-1]].name} and {paths[n].name} are different slices at the same place "
                    f"({heights[n]:.2f} mm).",
                    "The folder may hold several phases or volumes: keep one of them.",
                )
            dropped += 1
            continue
        kept.append(n)
    notices = [Notice("W-DICOM-DUPLICATE", f"{dropped} slices that are there twice were left out.")] if dropped else []
    return kept, notices


def _uneven(
    order: list[int], heights: NDArray[np.float64], gaps: NDArray[np.float64], usual: float,
    size: tuple[int, int, int], axes: tuple[Any, Any, Any], first: Any, resample: bool, notices: list[Notice],
) -> SliceStack:  # fmt: skip
    worst = int(np.abs(gaps - usual).argmax())
    missing = round(float(gaps[worst]) / usual) - 1
    at = heights[order[worst]]
    what = (
        f"{missing} slice{'s' if missing > 1 else ''} missing after {at:.2f} mm (slice {worst + 1} of {len(order)})"
        if missing >= 1 and abs(gaps[worst] / usual - round(gaps[worst] / usual)) < 0.1
        else f"Slices are unevenly spaced: {gaps.min():.2f} to {gaps.max():.2f} mm, oddest after {at:.2f} mm"
    )
    if not resample:
        raise GeometryError(
            "E-DICOM-GAP", f"{what}.", "Export the series again, or fill in with --resample-irregular (interpolates)."
        )
    here = heights[order]
    wanted = np.arange(here[0], here[-1] + usual / 2, usual)

    def fill(voxels: NDArray[Any]) -> NDArray[Any]:
        right = np.clip(np.searchsorted(here, wanted), 1, len(here) - 1)
        share = np.clip((wanted - here[right - 1]) / (here[right] - here[right - 1]), 0, 1)
        shape = (1, 1, -1, *(1,) * (voxels.ndim - 3))
        mixed = voxels[:, :, right - 1] * (1 - share).reshape(shape) + voxels[:, :, right] * share.reshape(shape)
        return (np.round(mixed) if voxels.dtype.kind in "iu" else mixed).astype(voxels.dtype)

    notices.append(Notice("W-DICOM-RESAMPLED", f"{what}: slices were interpolated every {usual:.2f} mm."))
    grid = _grid((size[0], size[1], len(wanted)), axes[0], axes[1], axes[2] * usual, first)
    return SliceStack(tuple(order), grid, tuple(notices), fill)


def _straightened(
    order: list[int], places: NDArray[np.float64], usual: float, size: tuple[int, int, int],
    axes: tuple[Any, Any, Any], spacing: tuple[float, float], notices: list[Notice], tilt: float,
) -> SliceStack:  # fmt: skip
    """Slices shifted in their own plane so that they are stacked along their normal."""
    from scipy import ndimage

    row, column, normal = axes
    first = places[order[0]]
    drift = places[order] - first
    shifts = np.stack([drift @ row / spacing[0], drift @ column / spacing[1]], axis=1)

    def shear(voxels: NDArray[Any]) -> NDArray[Any]:
        moved = [
            ndimage.shift(voxels[:, :, k], (*shifts[k], *(0,) * (voxels.ndim - 3)), order=1, cval=float(voxels.min()))
            for k in range(voxels.shape[2])
        ]
        return np.stack(moved, axis=2)

    notices.append(Notice("W-DICOM-SHEARED", f"A gantry tilt of {tilt:.1f} degrees was straightened by resampling."))
    grid = _grid(size, row * spacing[0], column * spacing[1], normal * usual, first)
    return SliceStack(tuple(order), grid, tuple(notices), shear)
