"""MetaImage volumes: .mha, or .mhd with its data beside it (ITK's MetaIO)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.grid import Grid
from delineate.core.scan import Scan
from delineate.io.limits import check_volume
from delineate.io.options import ReadOptions
from delineate.io.readers.itk_space import ras_affine
from delineate.io.readers.modality import guess
from delineate.io.unpacking import Packing, unpacked

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip


def read(path: Path, options: ReadOptions) -> Scan:
    """A MetaImage as an image or volume on its own grid."""
    fields, offset = _fields(path)
    try:
        shape = tuple(int(n) for n in fields["DimSize"].split())
        dtype = np.dtype(_TYPES[fields["ElementType"]])
        channels = int(fields.get("ElementNumberOfChannels", 1))
    except (KeyError, ValueError) as error:
        raise InputError("E-META-HEADER", f"{path.name}: the field {error} is missing or unknown.") from None
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise InputError("E-META-DIM", f"{path.name} has the size {shape}; two or three axes are read.")
    if channels not in (1, 3):
        raise InputError("E-META-CHANNELS", f"{path.name} has {channels} values a voxel; grey and RGB are read.")
    check_volume(path, shape, channels * dtype.itemsize, options)
    big = _flag(fields, "BinaryDataByteOrderMSB") or _flag(fields, "ElementByteOrderMSB")
    stored = dtype.newbyteorder(">" if big else "<")
    array = _data(path, fields, offset, (channels, *shape), stored).astype(dtype, copy=False)
    array = array[0] if channels == 1 else array.transpose(*range(1, array.ndim), 0)
    grid = _grid(fields, shape)
    about: dict[str, Any] = {"modality": guess(array[::2, ::2], path, volume=len(shape) == 3)}
    if len(shape) == 2:
        return Scan.from_image(array.swapaxes(0, 1), grid, **about)
    return Scan.from_volume(array, grid, **about)


def _fields(path: Path) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    with path.open("rb") as stream:
        for _ in range(500):
            line = stream.readline(100_000)
            key, equals, value = line.decode("latin-1").partition("=")
            if not equals:
                break
            fields[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                return fields, stream.tell()
    raise InputError("E-META-HEADER", f"{path.name} does not say where its voxels are (ElementDataFile).")


def detached_data(path: Path) -> list[Path]:
    """Files beside a header that hold its voxels, if they are not in the same file."""
    fields, offset = _fields(path)
    place = fields["ElementDataFile"]
    if place.upper() == "LOCAL":
        return []
    listed = place.upper().startswith("LIST")
    names = path.read_bytes()[offset:].decode("latin-1").split() if listed else [place]
    return [path.parent / name for name in names]


def _flag(fields: dict[str, str], name: str) -> bool:
    return fields.get(name, "False").lower() in ("true", "1")


def _grid(fields: dict[str, str], shape: tuple[int, ...]) -> Grid:
    """ITK: position = origin + directions * spacing * index, in LPS."""
    n = len(shape)
    steps = np.array([float(v) for v in fields.get("ElementSpacing", fields.get("ElementSize", "1 " * n)).split()])
    matrix = next((fields[k] for k in ("TransformMatrix", "Rotation", "Orientation") if k in fields), None)
    origin = next((fields[k] for k in ("Offset", "Origin", "Position") if k in fields), None)
    rows = np.eye(n) if matrix is None else np.array([float(v) for v in matrix.split()]).reshape(n, n)
    first = np.zeros(n) if origin is None else np.array([float(v) for v in origin.split()])
    if n == 2:
        return Grid.scaled(shape, steps)
    return Grid(shape, ras_affine(rows * steps[:, None], first))


def _data(
    path: Path, fields: dict[str, str], offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    packing = Packing.ZLIB if _flag(fields, "CompressedData") else Packing.RAW
    skip = int(fields.get("HeaderSize", 0))
    try:
        with _source(path, fields, offset, size) as stream:
            if skip == -1:
                stream.seek(max(0, stream.seek(0, io.SEEK_END) - size))
            else:
                stream.seek(max(0, skip), io.SEEK_CUR)
            return unpacked(stream, packing, size).values(dtype).reshape(shape, order="F")
    except ValueError as error:
        raise InputError(
            "E-META-CUT", f"{path.name} is cut short or damaged: {error}.", "Copy or download it again."
        ) from None


def _source(path: Path, fields: dict[str, str], offset: int, size: int) -> BinaryIO:
    """Where the voxels begin: in the file itself, in one beside it, or in a list of files, taken together."""
    place = fields["ElementDataFile"]
    if place.upper() == "LOCAL":
        stream = path.open("rb")
        stream.seek(offset)
        return stream
    sources = detached_data(path)
    for source in sources:
        if source.resolve().parent != path.parent.resolve() or not source.is_file():
            raise InputError("E-META-DATA", f"{path.name} keeps its voxels in {source}, which is not beside it.")
    if len(sources) == 1:
        return sources[0].open("rb")
    joined = io.BytesIO()
    for source in sources:
        with source.open("rb") as part:
            joined.write(part.read(max(0, size - joined.tell())))
    joined.seek(0)
    return joined
