"""Where a NIfTI header says its voxels lie: sform before qform, in the header's unit of length, told in mm."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np

from delineate.core.errors import GeometryError, Notice
from delineate.core.grid import Affine, Grid, Placement
from delineate.io.options import AffineChoice, ReadOptions
from delineate.io.readers.units import unit_notice

SKEW_ALLOWED: Final = 0.5  # degrees
ANISOTROPIC: Final = 6  # times as far apart: slices that are pointed out
_UNITS: Final = {1: ("meters", 1e3), 3: ("microns", 1e-3)}  # codes in xyzt_units; 0 is unknown, 2 is mm


def grid_of(path: Path, header: Any, shape: tuple[int, int, int], options: ReadOptions, notices: list[Notice]) -> Grid:
    """The grid in mm; what should be known of it is added to ``notices``.

    Raises GeometryError for steps and affines that are no numbers or no lengths.
    """
    unit, scale = _unit(header)
    if unit:
        notices.append(unit_notice(unit))
    if isinstance(header, nib.Nifti1Header) and (header["sform_code"] or header["qform_code"]):
        affine = _affine(path, header, options, notices)
        if not np.isfinite(affine).all():
            raise GeometryError(
                "E-GRID-NAN",
                f"The affine of {path.name} holds NaN or infinite numbers.",
                "Write the file anew with the program it came from.",
            )
        affine[:3] *= scale
        grid = Grid(shape, affine)
        _tell(grid, shape, unit, notices)
        return grid
    steps = [scale * float(v) for v in header["pixdim"][1:4]]
    if any(not np.isfinite(s) or s <= 0 for s in steps[: 2 if shape[2] == 1 else 3]):
        raise GeometryError(
            "E-NIFTI-PIXDIM",
            f"{path.name} gives a spacing (pixdim) of {steps} mm.",
            "Mend the header (nibabel: header.set_zooms), or say which affine is right: --affine sform",
        )
    notices.append(
        Notice("W-NO-ORIENTATION", "The file does not say how the patient lies: axes are i, j, k, not R, A, S.")
    )
    if isinstance(header, nib.Nifti1Header) and not int(header["xyzt_units"]) & 7 and set(steps) == {1.0}:
        return Grid(shape, placement=Placement.PIXELS)  # as writers have it that know no lengths
    steps[2] = steps[2] if np.isfinite(steps[2]) and steps[2] > 0 else 1.0
    return Grid(shape, np.diag([*steps, 1.0]), placement=Placement.SCALE)


def _unit(header: Any) -> tuple[str, float]:
    if not isinstance(header, nib.Nifti1Header):
        return "", 1.0
    return _UNITS.get(int(header["xyzt_units"]) & 7, ("", 1.0))


def _tell(grid: Grid, shape: tuple[int, int, int], unit: str, notices: list[Notice]) -> None:
    far = [s for s in grid.spacing if s > 100 or (s < 0.001 and not unit)]
    if far:
        notices.append(
            Notice("W-SPACING-ODD", f"The header says voxels are {far[0]:g} mm long (pixdim/affine): really?")
        )
    thin, thick = min(grid.spacing), grid.spacing[grid.thick_axis]
    if shape[2] > 1 and thick / thin >= ANISOTROPIC:
        axis = grid.axes[grid.thick_axis]
        notices.append(
            Notice(
                "W-ANISOTROPIC",
                f"Slices are {thick / thin:.0f} times as far apart as pixels; they are taken along {axis}.",
            )
        )
    if grid.skew_degrees >= SKEW_ALLOWED:
        notices.append(
            Notice("W-SKEWED", f"The axes are skewed by {grid.skew_degrees:.1f} degrees; the outline keeps that grid.")
        )


def _affine(path: Path, header: Any, options: ReadOptions, notices: list[Notice]) -> Affine:
    """The affine viewers use (sform before qform), or the one asked for."""
    sform = header.get_sform(coded=True)[0]
    qform = _qform(path, header, sform is not None, notices)
    if qform is not None and (sform is None or options.affine is AffineChoice.QFORM):
        return np.array(qform, dtype=np.float64)
    if qform is not None and options.affine is None:
        sizes = [*(int(n) for n in header.get_data_shape()), 1, 1, 1][:3]
        corners = np.array([[*bits, 1] for bits in np.ndindex(2, 2, 2)]) * [*(n - 1 for n in sizes), 1]
        apart = float(np.abs((corners @ (np.asarray(sform) - np.asarray(qform)).T)[:, :3]).max())
        if apart > 0.1:
            notices.append(
                Notice(
                    "W-QFORM-SFORM",
                    f"The header's two affines disagree by up to {apart:.1f} mm; the sform is used "
                    "(--affine qform for the other).",
                )
            )
    return np.array(sform, dtype=np.float64)


def _qform(path: Path, header: Any, other: bool, notices: list[Notice]) -> Any:
    """The qform; None where there is none, or where it is no rotation and the file has a sform beside it."""
    try:
        return header.get_qform(coded=True)[0]
    except Exception as error:  # nibabel: ValueError for a quaternion longer than 1, HeaderDataError for steps below 0
        if not other:
            raise GeometryError(
                "E-NIFTI-QFORM",
                f"{path.name} says how it lies by a quaternion that is no rotation, or by steps below 0.",
                "Export the file again, or mend its header (qform).",
            ) from error
        notices.append(Notice("W-NIFTI-QFORM", "The header's qform, one of two affines, is broken; the sform is used."))
        return None
