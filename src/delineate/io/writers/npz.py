"""Label maps as the npz archives of segmentation challenges."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.grid import Placement
from delineate.io.atomic import write_bytes
from delineate.io.own_files import MARK
from delineate.io.writers.label_png import smallest
from delineate.scan import Scan, ScanKind
from delineate.segmentation import Overlap, Segmentation


def write_npz(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """``segs`` (D, H, W) (frames first), with the spacing and its order said."""
    frames = np.stack([segmentation.frame_labels(i, overlap) for i in range(len(segmentation))])
    arrays: dict[str, NDArray[Any]] = {
        "segs": smallest(frames if segmentation.kind is not ScanKind.IMAGE else frames[0]),
        "names": np.array([o.name for o in segmentation.objects]),
        "labels": np.array([o.label for o in segmentation.objects]),
    }
    if scan.grid.placement is not Placement.PIXELS and segmentation.kind is ScanKind.VOLUME:
        if segmentation.slice_axis != 2:
            arrays["segs"] = segmentation.label_map(overlap).transpose(2, 1, 0)
        arrays |= {"spacing": np.array(scan.grid.spacing), "spacing_order": np.array("xyz")}
    write_bytes(path, _archive(arrays.items()))


def _archive(arrays: Iterable[tuple[str, NDArray[Any]]]) -> bytes:
    """An npz whose bytes depend on nothing but the arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays:
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(member, content.getvalue())
        archive.comment = MARK.encode()
    return buffer.getvalue()
