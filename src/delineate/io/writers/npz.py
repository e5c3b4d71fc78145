"""Label maps as the npz archives of segmentation challenges."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.grid import Placement
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.atomic import replacing
from delineate.io.own_files import MARK


def write_npz(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """``segs`` (D, H, W) (frames first), with the spacing and its order said; a few frames in memory at a time."""
    volume = segmentation.kind is ScanKind.VOLUME
    placed = volume and scan.grid.placement is not Placement.PIXELS
    shape: tuple[int, ...] = (len(segmentation), *segmentation.frame_shape)
    pieces: Iterator[NDArray[Any]]
    if placed:
        shape, pieces = segmentation.grid.shape[::-1], segmentation.label_planes(overlap)
    else:
        pieces = (segmentation.frame_labels(n, overlap) for n in range(len(segmentation)))
    if segmentation.kind is ScanKind.IMAGE:
        shape = segmentation.frame_shape
    arrays: dict[str, NDArray[Any]] = {
        "names": np.array([o.name for o in segmentation.objects]),
        "labels": np.array([o.label for o in segmentation.objects]),
        "colors": np.array([o.color for o in segmentation.objects], np.uint8).reshape(-1, 3),
    }
    arrays["kind"] = np.array(str(segmentation.kind))
    if scan.grid.placement is not Placement.PIXELS and segmentation.kind is not ScanKind.VIDEO:
        arrays |= {"spacing": np.array(scan.grid.spacing), "spacing_order": np.array("xyz")}
    with replacing(path) as temporary, store_mark(temporary) as archive:
        store_array(archive, "segs", shape, segmentation.label_dtype, pieces)
        for name, array in arrays.items():
            store_array(archive, name, array.shape, array.dtype, [array])


@contextmanager
def store_mark(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive to store arrays in, with the mark that it is this program's."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        yield archive
        archive.comment = MARK.encode()


def store_array(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], pieces: Iterable[NDArray[Any]]
) -> None:
    """An array of an npz, written piece by piece; its bytes depend on nothing but its values."""
    member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    member.compress_type = zipfile.ZIP_DEFLATED
    member.file_size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize  # whether the archive needs 64-bit sizes
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(member, "w") as stream:
        np.lib.format.write_array_header_1_0(stream, about)
        for piece in pieces:
            stream.write(np.ascontiguousarray(piece, dtype).tobytes())
