"""What a NIfTI header says about where its voxels lie: the one part of a header that goes on to an output."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NiftiGeometry:
    """The geometry of a NIfTI header, every number as it is stored; no text, no date, no extension.

    The names are the header's own (nifti1.h). Single precision fits into Python's numbers, so all of them are written
    back bit for bit.

    double_precision  NIfTI-2, whose numbers are twice as long
    pixdim            (8,): qfac, then the spacing along each axis
    quatern, qoffset  the qform: rotation and place of voxel 0
    srow              the rows of the sform
    xyzt_units        code of the units
    """

    double_precision: bool
    pixdim: tuple[float, ...]
    xyzt_units: int
    qform_code: int
    quatern_b: float
    quatern_c: float
    quatern_d: float
    qoffset_x: float
    qoffset_y: float
    qoffset_z: float
    sform_code: int
    srow_x: tuple[float, ...]
    srow_y: tuple[float, ...]
    srow_z: tuple[float, ...]
