"""NRRD volumes and 3D Slicer's .seg.nrrd (teem.sourceforge.net/nrrd/format.html)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Grid
from delineate.core.scan import Scan
from delineate.core.terminal_text import excerpt
from delineate.io.grid_record import PLACEMENT_KEY, noted
from delineate.io.limits import check_volume
from delineate.io.options import ReadOptions
from delineate.io.readers.header_fields import unusable, whole_numbers
from delineate.io.readers.modality import guess
from delineate.io.readers.nrrd_data import read_data
from delineate.io.readers.nrrd_header import NrrdHeader
from delineate.io.readers.nrrd_segments import Segment, joined_segments, separate_segments
from delineate.io.readers.nrrd_space import grid_of, spatial_axes

_TYPES = {
    "signed char": "i1", "int8": "i1", "int8_t": "i1", "uchar": "u1", "unsigned char": "u1", "uint8": "u1",
    "uint8_t": "u1", "short": "i2", "short int": "i2", "signed short": "i2", "signed short int": "i2", "int16": "i2",
    "int16_t": "i2", "ushort": "u2", "unsigned short": "u2", "unsigned short int": "u2", "uint16": "u2",
    "uint16_t": "u2", "int": "i4", "signed int": "i4", "int32": "i4", "int32_t": "i4", "uint": "u4",
    "unsigned int": "u4", "uint32": "u4", "uint32_t": "u4", "longlong": "i8", "long long": "i8", "int64": "i8",
    "signed long long": "i8", "long long int": "i8", "signed long long int": "i8", "int64_t": "i8", "ulonglong": "u8",
    "unsigned long long": "u8", "unsigned long long int": "u8", "uint64": "u8", "uint64_t": "u8", "float": "f4",
    "double": "f8",
}  # fmt: skip
_COLORS = {"rgb-color": 3, "3-color": 3, "rgba-color": 4, "4-color": 4}  # kinds of an axis, and its values


def read(path: Path, options: ReadOptions) -> Scan:
    """A NRRD file as an image or volume; of a .seg.nrrd all segments, in one label map."""
    header = NrrdHeader.read(path)
    array, others, grid, notices = _values(header, options)
    if header.segments:
        array, overlap = joined_segments(header, array if others else array[..., None])
        notices += overlap
    elif others:
        array = _of_list(header, array, header.kind(others[0]), options, notices)
    about: dict[str, Any] = {"modality": guess(array[::2, ::2], path, volume=grid.ndim == 3)}
    about["notices"] = tuple(notices)
    if grid.ndim == 2:
        return Scan.from_image(array.swapaxes(0, 1), grid, **about)
    return Scan.from_volume(array, grid, **about)


def segments(path: Path, options: ReadOptions) -> Iterator[Segment]:
    """The segments of a .seg.nrrd one by one, whether they overlap or not. Raises InputError as ``read`` does."""
    header = NrrdHeader.read(path)
    array, others, _, _ = _values(header, options)
    return separate_segments(header, array if others else array[..., None])


def _values(header: NrrdHeader, options: ReadOptions) -> tuple[NDArray[Any], list[int], Grid, list[Notice]]:
    """The voxels, axes in space first; the axes that are not in space; the grid."""
    path = header.path
    sizes = tuple(whole_numbers(path, "sizes", header.required("sizes")))
    if "dimension" in header.fields and header.fields["dimension"] != str(len(sizes)):
        raise unusable(path, "dimension", header.fields["dimension"], f"{len(sizes)}, the number of sizes,")
    dtype = _dtype(header)
    check_volume(path, sizes, dtype.itemsize, options)
    spatial = spatial_axes(header, len(sizes))
    others = [n for n in range(len(sizes)) if n not in spatial]
    if len(spatial) not in (2, 3) or len(others) > 1:
        raise InputError(
            "E-NRRD-DIM",
            f"{path.name} has {len(sizes)} axes, {len(spatial)} of them in space; "
            "images and volumes are read, and lists of them.",
            "Save one image or one volume, with its channels on one axis.",
        )
    told, notices = grid_of(header, [sizes[n] for n in spatial], spatial)
    grid = noted(told, header.pairs.get(PLACEMENT_KEY, ""))
    stored, surplus = read_data(header, sizes, dtype)
    array = stored.astype(dtype.newbyteorder("="), copy=False).transpose(*spatial, *others)
    array = array[:, :, 0] if grid.ndim < told.ndim else array
    notices += [Notice("W-DATA-SURPLUS", "The data go on after the voxels; the rest is ignored.")] if surplus else []
    notices += _unknown_fields(header)
    return array, others, grid, notices


def detached_data(path: Path) -> list[Path]:
    """Files beside a header that hold its voxels, if they are not in the same file."""
    return [path.parent / name for name in NrrdHeader.read(path).data_files]


def _dtype(header: NrrdHeader) -> np.dtype[Any]:
    kind = header.required("type")
    if kind.lower() not in _TYPES:
        raise unusable(header.path, "type", kind, "a number type such as short or float")
    endian = header.fields.get("endian", "little").lower()
    if endian not in ("little", "big"):
        raise unusable(header.path, "endian", endian, "little or big")
    return np.dtype(_TYPES[kind.lower()]).newbyteorder("<" if endian == "little" else ">")


def _of_list(
    header: NrrdHeader, array: NDArray[Any], kind: str, options: ReadOptions, notices: list[Notice]
) -> NDArray[Any]:
    """Colors where the header says so, one of several volumes (or images) otherwise."""
    count = array.shape[-1]
    if _COLORS.get(kind) == count:
        if count == 4:
            notices.append(Notice("W-ALPHA-DROPPED", "The file has transparency, which was left out."))
        return array[..., :3]
    if count == 1:
        return array[..., 0]
    if options.index is None:
        raise InputError(
            "E-NRRD-LIST",
            f"{header.path.name} holds {count} volumes.",
            f"Choose one with --index N (0 to {count - 1}).",
        )
    if not 0 <= options.index < count:
        raise InputError(
            "E-PAGE-RANGE",
            f"{header.path.name} has volumes 0 to {count - 1}, not {options.index}.",
            "Choose one of them with --index, counted from 0.",
        )
    return array[..., options.index]


def _unknown_fields(header: NrrdHeader) -> list[Notice]:
    names = ", ".join(excerpt(name, 30) for name in header.unknown[:4])
    return (
        [Notice("W-HEADER-FIELD", f"Fields of the header that are not known were ignored: {names}.")] if names else []
    )
