"""Label maps as NIfTI, on exactly the grid of the scan."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from delineate.grid import Placement
from delineate.io.atomic import write_bytes
from delineate.io.writers.label_png import smallest
from delineate.scan import Scan, ScanKind
from delineate.segmentation import Overlap, Segmentation

COMMENT_CODE = 6  # NIfTI header extension: plain text


def write_nifti(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """A label map whose header is the input's own, affine bit for bit."""
    if segmentation.kind is ScanKind.VOLUME:
        labels: NDArray[Any] = segmentation.label_map(overlap)
    else:
        labels = smallest(segmentation.frame_labels(0, overlap)).T[:, :, None]
    image = nib.Nifti1Image(labels, scan.grid.affine)
    source = scan.header if isinstance(scan.header, nib.Nifti1Header) else None
    if source is not None:
        header = source.copy()
        header.set_data_dtype(labels.dtype)
        header.set_data_shape(labels.shape)
        header["scl_slope"], header["scl_inter"] = np.nan, np.nan
        header["cal_min"] = header["cal_max"] = 0
        header.set_intent("label")
        image = nib.Nifti1Image(labels, None, header)
    else:
        code = 1 if scan.grid.placement is Placement.WORLD else 0
        image.set_sform(scan.grid.affine, code=code)
        image.set_qform(scan.grid.affine, code=code if scan.grid.skew_degrees < 0.01 else 0, strip_shears=True)
        image.header.set_xyzt_units("mm" if scan.grid.placement is not Placement.PIXELS else "unknown")
        image.header.set_intent("label")
    names = {str(o.label): {"name": o.name, "colour": o.colour} for o in segmentation.objects}
    text = json.dumps({"delineate_labels": names}, ensure_ascii=False).encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension(COMMENT_CODE, text))
    data = image.to_bytes()
    write_bytes(path, gzip.compress(data, 6, mtime=0) if path.name.lower().endswith(".gz") else data)
