"""Label maps as NIfTI, on exactly the grid of the scan."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import Notice, OutputError
from delineate.core.grid import Grid, Placement
from delineate.core.scan import Scan
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.atomic import replacing
from delineate.io.options import ReadOptions
from delineate.io.own_files import MARK
from delineate.io.readers.nifti_file import whole_header
from delineate.io.readers.nifti_header import LONGEST_AXIS, geometry_of, header_with, label_image

COMMENT_CODE = 6  # NIfTI header extension: plain text
HEADER_KEPT = Notice(
    "W-HEADER-KEPT",
    "The input's NIfTI header was copied with its texts and extensions (--keep-header); they may name the patient.",
)


def write_nifti(
    segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap, keep_header: bool = False
) -> None:
    """A label map under a new header with the input's geometry, affine bit for bit; NIfTI-2 where the input is.

    keep_header  copy the input's header instead, its texts and extensions too (``require_header``)
    """
    width, height, depth = (*segmentation.grid.shape, 1)[:3]
    # stands for the voxels, which are written a few planes at a time
    labels = np.broadcast_to(segmentation.label_dtype.type(0), (width, height, depth))
    if keep_header:
        image = label_image(labels, require_header(path, scan))
    elif scan.geometry is not None:
        image = label_image(labels, header_with(scan.geometry))
    else:
        image = placed_image(labels, scan.grid)
        image.header.set_intent("label")
    names = {str(o.label): {"name": o.name, "color": o.color} for o in segmentation.objects}
    text = json.dumps({"mark": MARK, "delineate_labels": names}, ensure_ascii=False).encode()
    # first, as it marks the file as ours (own_files), and a kept extension may be long
    image.header.extensions.insert(0, nib.nifti1.Nifti1Extension(COMMENT_CODE, text))
    write_planes(image, path, segmentation.label_planes(overlap))


def placed_image(voxels: NDArray[Any], grid: Grid) -> Any:
    """Voxels (i, j, k) under a header of their own, on a grid; NIfTI-2 where an axis is too long for NIfTI-1."""
    kind = nib.Nifti2Image if max(voxels.shape) > LONGEST_AXIS else nib.Nifti1Image
    image = kind(voxels, grid.affine, dtype=voxels.dtype)
    code = 1 if grid.placement is Placement.WORLD else 0
    image.set_sform(grid.affine, code=code)
    image.set_qform(grid.affine, code=code if grid.skew_degrees < 0.01 else 0, strip_shears=True)
    image.header.set_xyzt_units("mm" if grid.placement is not Placement.PIXELS else "unknown")
    return image


def write_planes(image: Any, path: Path, pieces: Iterable[NDArray[Any]]) -> None:
    """A header, and voxels (k, j, i) that come piece by piece; gzipped if the name says so."""
    image.update_header()
    header, stored = image.header, image.get_data_dtype()
    header.set_slope_inter(1, 0)
    with replacing(path) as temporary, _packed(temporary, path.name.lower().endswith(".gz")) as stream:
        header.write_to(stream)
        stream.write(bytes(header.get_data_offset() - stream.tell()))
        for planes in pieces:
            stream.write(planes.astype(stored, copy=False).tobytes())


@contextmanager
def _packed(path: Path, gzipped: bool) -> Iterator[Any]:
    with path.open("wb") as stream:
        if not gzipped:
            yield stream
            return
        with gzip.GzipFile("", "wb", 6, stream, mtime=0) as packed:
            yield packed


def require_header(path: Path, scan: Scan) -> nib.Nifti1Header:
    """The whole header of the file a scan was read from, for ``keep_header``: it is read again, no scan holds it.

    Raises OutputError where there is none, where the output is no NIfTI, or where the file has changed since.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise OutputError(
            "E-KEEP-HEADER",
            f"The header can be kept in NIfTI alone, and {path.name} is none.",
            "Leave out --keep-header, or name the output .nii.gz.",
        )
    if scan.file is None or scan.geometry is None:
        what = f"{scan.file.path.name} is {scan.file.format}" if scan.file else "The scan was read from no file"
        raise OutputError(
            "E-KEEP-HEADER",
            f"{what}: only the header of a NIfTI file can be kept.",
            "Leave out --keep-header; the geometry is kept without it.",
        )
    opened = ReadOptions(max_voxels=2**62)  # whatever limit it was opened with
    header = whole_header(scan.file.path, opened)
    if geometry_of(header) != scan.geometry:
        raise OutputError("E-KEEP-HEADER", f"{scan.file.path.name} has changed since it was opened.", "Open it again.")
    return header
