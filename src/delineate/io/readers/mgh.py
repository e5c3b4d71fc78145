"""FreeSurfer volumes: .mgh, and .mgz, which is gzip around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader, MGHImage

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Grid, Placement
from delineate.core.reading import reading
from delineate.core.scan import Scan
from delineate.io.limits import check_volume
from delineate.io.options import ReadOptions
from delineate.io.readers.modality import guess
from delineate.io.unpacking import Packing, unpacked

HEADER = 284  # bytes before the voxels
PLACED = 28  # where the header says whether spacing and directions follow
FOOTER = 1 << 16  # bytes after them: scan parameters and notes
TYPES = (0, 1, 3, 4, 10)  # numbers of voxel types
MOST_FRAMES = 1 << 16


def looks_like_mgh(head: bytes) -> bool:
    """Version 1, sizes that can be, and a type there is."""
    if len(head) < 24 or head[:4] != b"\0\0\0\x01":
        return False
    *sizes, kind = (int.from_bytes(head[at : at + 4], "big") for at in range(4, 24, 4))
    return all(0 < size <= MOST_FRAMES for size in sizes) and kind in TYPES


def read(path: Path, options: ReadOptions) -> Scan:
    """A FreeSurfer volume; of several frames the one asked for.

    Raises InputError for files that are cut or damaged, and for several frames without a choice.
    """
    image, placed = _loaded(path, options)
    *shape, frames = (*image.shape, 1)[:4]
    index = 0
    if frames > 1:
        if options.index is None:
            raise InputError(
                "E-MGH-4D", f"{path.name} holds {frames} volumes.", f"Choose one with --index N (0 to {frames - 1})."
            )
        if not 0 <= options.index < frames:
            raise InputError(
                "E-PAGE-RANGE",
                f"{path.name} has volumes 0 to {frames - 1}, not {options.index}.",
                "Choose one of them with --index, counted from 0.",
            )
        index = options.index
    data = np.asarray(image.dataobj)
    voxels = (data if data.ndim == 3 else data[..., index]).astype(data.dtype.newbyteorder("="))
    notices: tuple[Notice, ...] = ()
    if placed:
        grid = Grid(tuple(shape), np.asarray(image.affine, dtype=np.float64))
    else:
        grid = Grid(tuple(shape), placement=Placement.PIXELS)
        text = "The file says neither how large its voxels are nor how the patient lies: axes are i, j, k."
        notices = (Notice("W-NO-ORIENTATION", text),)
    return Scan.from_volume(voxels, grid, modality=guess(voxels, path, volume=True), notices=notices)


def _loaded(path: Path, options: ReadOptions) -> tuple[Any, bool]:
    """The image, and whether its header says where it lies (which nibabel fills in where not)."""
    with path.open("rb") as stream:
        packing = Packing.GZIP if stream.read(2) == b"\x1f\x8b" else Packing.RAW
    with reading(path, "E-MGH-DAMAGED", what="is a damaged FreeSurfer volume"):
        with path.open("rb") as stream:
            head = unpacked(stream, packing, HEADER).stream.getvalue()
        header = MGHHeader(head[: MGHHeader.template_dtype.itemsize], check=False)
        check_volume(path, header.get_data_shape(), header.get_data_dtype().itemsize, options)
        voxels = int(np.prod(header.get_data_shape(), dtype=np.int64)) * header.get_data_dtype().itemsize
        with path.open("rb") as stream:
            content = unpacked(stream, packing, HEADER + voxels + FOOTER, least=HEADER + voxels)
        holder = nib.FileHolder(fileobj=content.stream)
        return MGHImage.from_file_map({"image": holder}), head[PLACED : PLACED + 2] != b"\0\0"
