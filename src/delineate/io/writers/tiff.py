"""Label maps as TIFF, as ImageJ reads it: one page for each slice or frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from delineate.core.grid import Placement
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.atomic import replacing
from delineate.io.label_names import KEY, names_text
from delineate.io.own_files import MARK

CLASSIC = 2**32 - 2**25  # bytes of pixels; more needs BigTIFF, which ImageJ's own notes have no place in


def write_tiff(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """Label values, spacing and names, a page in memory at a time; the format has no place for orientation and origin.

    Pages are slices along the last axis of the grid, frames of a video, or the one picture.
    """
    shape = _shape(segmentation)
    grid, about = segmentation.grid, dict[str, Any]()
    about[KEY] = names_text(segmentation)
    if len(shape) == 3:
        about["axes"] = "ZYX" if segmentation.kind is ScanKind.VOLUME else "TYX"
    resolution = None
    if grid.placement is not Placement.PIXELS and segmentation.kind is not ScanKind.VIDEO:
        resolution = (1 / grid.spacing[0], 1 / grid.spacing[1])
        about["unit"] = "mm"
        if grid.ndim == 3:
            about["spacing"] = grid.spacing[2]
    large = int(np.prod(shape)) * segmentation.label_dtype.itemsize > CLASSIC
    with replacing(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=large, imagej=not large) as out:
        out.write(
            _pages(segmentation, overlap),
            shape=shape,
            dtype=segmentation.label_dtype,
            photometric="minisblack",
            resolution=resolution,
            software=MARK,
            metadata=about,
        )


def _shape(segmentation: Segmentation) -> tuple[int, ...]:
    if segmentation.kind is ScanKind.VIDEO:
        return (len(segmentation), *segmentation.frame_shape)
    return segmentation.grid.shape[::-1]


def _pages(segmentation: Segmentation, overlap: Overlap) -> Iterator[NDArray[Any]]:
    if segmentation.kind is ScanKind.VIDEO:
        for index in range(len(segmentation)):
            yield segmentation.frame_labels(index, overlap).astype(segmentation.label_dtype)
        return
    for planes in segmentation.label_planes(overlap):
        yield from planes
