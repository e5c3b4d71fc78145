"""MetaImage volumes: .mha, or .mhd with its data beside it (ITK's MetaIO)."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.errors import InputError
from delineate.grid import Grid
from delineate.io.itk_space import ras_affine
from delineate.io.modality import guess
from delineate.io.options import ReadOptions
from delineate.scan import Scan

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
    except (KeyError, ValueError) as error:
        raise InputError("E-META-HEADER", f"{path.name}: the field {error} is missing or unknown.") from None
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise InputError("E-META-DIM", f"{path.name} has the size {shape}; two or three axes are read.")
    if np.prod(shape, dtype=float) > options.max_voxels:
        raise InputError(
            "E-VOXELS-LARGE", f"{path.name} says it holds {shape} voxels, more than {options.max_voxels}.",
            "If you trust the file and have the memory, raise the limit with --max-voxels.",
        )  # fmt: skip
    big = _flag(fields, "BinaryDataByteOrderMSB") or _flag(fields, "ElementByteOrderMSB")
    channels = int(fields.get("ElementNumberOfChannels", 1))
    stored = dtype.newbyteorder(">" if big else "<")
    array = _data(path, fields, offset, (channels, *shape), stored).astype(dtype, copy=False)
    array = array[0] if channels == 1 else array.transpose(*range(1, array.ndim), 0)
    if channels not in (1, 3):
        raise InputError("E-META-CHANNELS", f"{path.name} has {channels} values a voxel; grey and RGB are read.")
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
    place = fields["ElementDataFile"]
    if place.upper() == "LOCAL":
        raw = path.read_bytes()[offset:]
    else:
        sources = detached_data(path)
        for source in sources:
            if source.resolve().parent != path.parent.resolve() or not source.is_file():
                raise InputError("E-META-DATA", f"{path.name} keeps its voxels in {source}, which is not beside it.")
        raw = b"".join(source.read_bytes() for source in sources)
    count = int(np.prod(shape, dtype=np.int64))
    expected = count * dtype.itemsize
    try:
        if _flag(fields, "CompressedData"):
            raw = zlib.decompressobj().decompress(raw, expected)
    except zlib.error as error:
        raise InputError("E-META-CUT", f"{path.name} has damaged compressed voxels: {error}.") from None
    skip = int(fields.get("HeaderSize", 0))
    raw = raw[-expected:] if skip == -1 else raw[max(0, skip) :]
    if len(raw) < expected:
        raise InputError(
            "E-META-CUT", f"{path.name} is cut short: {len(raw)} of {expected} bytes.", "Copy or download it again."
        )
    return np.frombuffer(raw, dtype, count).reshape(shape, order="F")
