"""Label maps as MetaImage (.mha), as ITK reads it."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from delineate.core.scan import Scan
from delineate.core.segmentation import Overlap, Segmentation, SegmentedObject
from delineate.io.atomic import replacing
from delineate.io.label_names import KEY
from delineate.io.own_files import MARK

_DIGITS = 20  # of the compressed size, which is known last


def write_metaimage(segmentation: Segmentation, path: Path, scan: Scan, overlap: Overlap) -> None:
    """Header and zlib-packed label values on the scan's grid, a few planes in memory at a time.

    Names of structures are fields ``delineate_labels_VALUE`` of its header, JSON each, which other tools pass over.
    """
    with replacing(path) as temporary, temporary.open("wb") as stream:
        before, after = _header(segmentation)
        stream.write(before.encode())
        size_at = stream.tell()
        stream.write(b"0" * _DIGITS + after.encode())
        size = _pack(segmentation, overlap, stream)
        stream.seek(size_at)
        stream.write(f"{size:<{_DIGITS}}".encode())


def _header(segmentation: Segmentation) -> tuple[str, str]:
    """What stands before and after the compressed size."""
    shape = (*segmentation.grid.shape, 1)[:3]
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ segmentation.grid.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = (lps[:3, :3] / spacing).T  # axis after axis
    kind = "MET_UCHAR" if segmentation.label_dtype == np.uint8 else "MET_USHORT"
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
        f"ElementType = {kind}",
        *(f"{KEY}_{one.label} = {_said(one)}" for one in segmentation.objects),
        "ElementDataFile = LOCAL",
        "",
    ]
    return "\n".join(before), "\n".join(after)


def _said(one: SegmentedObject) -> str:
    return json.dumps({"name": one.name, "color": one.color})


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in values)


def _pack(segmentation: Segmentation, overlap: Overlap, stream: BinaryIO) -> int:
    packer, size = zlib.compressobj(6), 0
    for planes in segmentation.label_planes(overlap):
        size += stream.write(packer.compress(planes.tobytes()))
    return size + stream.write(packer.flush())
