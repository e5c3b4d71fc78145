"""NIfTI headers of outputs: made anew, with the input's geometry and nothing else, unless more is asked for."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from delineate.core.nifti_geometry import NiftiGeometry

STORED = tuple(field.name for field in fields(NiftiGeometry) if field.name != "double_precision")
LONGEST_AXIS = 32_767  # voxels that NIfTI-1 can count


def geometry_of(header: nib.Nifti1Header) -> NiftiGeometry:
    """The part of a header that says where voxels lie."""
    stored = {name: np.asarray(header[name]).tolist() for name in STORED}
    numbers: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    return NiftiGeometry(double_precision=isinstance(header, nib.Nifti2Header), **numbers)


def header_with(geometry: NiftiGeometry) -> nib.Nifti1Header:
    """An empty header, NIfTI-2 for NIfTI-2, with this geometry."""
    header: nib.Nifti1Header = nib.Nifti2Header() if geometry.double_precision else nib.Nifti1Header()
    for name in STORED:
        header[name] = getattr(geometry, name)
    return header


def label_image(labels: NDArray[Any], header: nib.Nifti1Header) -> nib.Nifti1Image:
    """Labels (i, j, k) under a header, which becomes that of a label map; its extensions stay.

    Sizes beyond 16 bits, which NIfTI-1 cannot say, make it NIfTI-2.
    """
    header = nib.Nifti2Header.from_header(header) if max(labels.shape) > LONGEST_AXIS else header.copy()
    header.set_data_dtype(labels.dtype)
    header.set_data_shape(labels.shape)
    header["scl_slope"], header["scl_inter"] = np.nan, np.nan
    header["cal_min"] = header["cal_max"] = 0
    header.set_intent("label")
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    return kind(labels, None, header)
