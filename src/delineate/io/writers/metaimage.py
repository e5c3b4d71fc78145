"""Label maps as MetaImage (.mha), as ITK reads it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.grid import Grid
from delineate.core.scan import Scan
from delineate.core.segmentation import Overlap, Segmentation, SegmentedObject
from delineate.io.atomic import replacing
from delineate.io.grid_record import PLACEMENT_KEY, placement_note
from delineate.io.label_names import KEY
from delineate.io.own_files import MARK

_TYPES: Final = {
    "i1": "MET_CHAR", "u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "i4": "MET_INT", "u4": "MET_UINT",
    "i8": "MET_LONG_LONG", "u8": "MET_ULONG_LONG", "f4": "MET_FLOAT", "f8": "MET_DOUBLE",
}  # fmt: skip
DIGITS = 20  # of the compressed size, which is known last


def write_metaimage(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """Header and zlib-packed label values on the scan's grid, a few planes in memory at a time.

    Names of structures are fields ``delineate_labels_VALUE`` of its header, JSON each, which other tools pass over.
    """
    with replacing(path) as temporary, temporary.open("wb") as stream:
        names = [f"{KEY}_{one.label} = {_said(one)}" for one in segmentation.objects]
        before, after = metaimage_header(segmentation.grid, segmentation.label_dtype, names)
        stream.write(before.encode())
        size_at = stream.tell()
        stream.write(b"0" * DIGITS + after.encode())
        write_packed(segmentation.label_planes(overlap), stream, size_at)


def metaimage_header(grid: Grid, dtype: np.dtype[Any], lines: Sequence[str] = ()) -> tuple[str, str]:
    """What stands before and after the compressed size; ``lines`` are fields of one's own."""
    shape = (*grid.shape, 1)[:3]
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = (lps[:3, :3] / spacing).T  # axis after axis
    before = [
        "ObjectType = Image",
        "NDims = 3",
        f"Comment = {MARK}",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        "CompressedDataSize = ",
    ]
    after = [
        "",
        f"TransformMatrix = {_numbers(directions.ravel())}",
        f"Offset = {_numbers(lps[:3, 3])}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_numbers(spacing)}",
        f"DimSize = {' '.join(map(str, shape))}",
        f"ElementType = {_TYPES[dtype.str.lstrip('<|=>')]}",
        *([f"{PLACEMENT_KEY} = {note}"] if (note := placement_note(grid)) else []),
        *lines,
        "ElementDataFile = LOCAL",
        "",
    ]
    return "\n".join(before), "\n".join(after)


def _said(one: SegmentedObject) -> str:
    return json.dumps({"name": one.name, "color": one.color})


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in values)


def write_packed(pieces: Iterable[NDArray[Any]], stream: BinaryIO, size_at: int) -> None:
    """Values, packed, from here on; and their size, which is known last, at its place in the header."""
    packer, size = zlib.compressobj(6), 0
    for piece in pieces:
        size += stream.write(packer.compress(piece.tobytes()))
    size += stream.write(packer.flush())
    stream.seek(size_at)
    stream.write(f"{size:<{DIGITS}}".encode())
