"""MetaImage volumes: .mha, or .mhd with its data beside it (ITK's MetaIO)."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Grid
from delineate.core.reading import COPY_AGAIN, reason
from delineate.core.scan import Scan
from delineate.io.grid_record import PLACEMENT_KEY, noted
from delineate.io.limits import check_volume
from delineate.io.options import ReadOptions
from delineate.io.readers.detached import beside, numbered_names, require_some
from delineate.io.readers.header_fields import numbers, unusable, whole_numbers
from delineate.io.readers.itk_space import ras_affine
from delineate.io.readers.modality import guess
from delineate.io.readers.units import millimeters, unit_notice
from delineate.io.readers.written_numbers import written_numbers
from delineate.io.unpacking import Packing, unpacked

Fields = dict[str, str]
_TYPES: Final = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_CODE: Final = "E-META-DATA"
MOST_FIELDS: Final = 70_000  # a name for each label there can be among them
_NUMBERED: Final = re.compile(r"(\S*%\d*d\S*)((?:\s+-?\d{1,9}){3})$")
_TURNS: Final = ("TransformMatrix", "Rotation", "Orientation")
_ORIGINS: Final = ("Offset", "Origin", "Position")


def read(path: Path, options: ReadOptions) -> Scan:
    """A MetaImage as an image or volume on its own grid."""
    fields, offset = _fields(path)
    shape = tuple(whole_numbers(path, "DimSize", _required(path, fields, "DimSize")))
    kind = _required(path, fields, "ElementType")
    if kind not in _TYPES:
        raise unusable(path, "ElementType", kind, "a number type such as MET_SHORT")
    dtype = np.dtype(_TYPES[kind])
    channels = whole_numbers(path, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1"), 1)[0]
    if len(shape) not in (2, 3):
        raise InputError(
            "E-META-DIM",
            f"{path.name} has {len(shape)} axes; two or three are read.",
            "Save one image or one volume of it.",
        )
    if "NDims" in fields and whole_numbers(path, "NDims", fields["NDims"], 1)[0] != len(shape):
        raise unusable(path, "NDims", fields["NDims"], f"{len(shape)}, the number of sizes,")
    if channels not in (1, 3):
        raise InputError(
            "E-META-CHANNELS",
            f"{path.name} has {channels} values a voxel; gray and RGB are read.",
            "Save one channel, or RGB.",
        )
    check_volume(path, shape, channels * dtype.itemsize, options)
    grid, notices = _grid(path, fields, shape)
    big = _flag(fields, "BinaryDataByteOrderMSB") or _flag(fields, "ElementByteOrderMSB")
    stored = dtype.newbyteorder(">" if big else "<")
    array = _data(path, fields, offset, (channels, *shape), stored).astype(dtype, copy=False)
    array = array[0] if channels == 1 else array.transpose(*range(1, array.ndim), 0)
    array = array[:, :, 0] if grid.ndim < len(shape) else array
    about: dict[str, Any] = {"modality": guess(array[::2, ::2], path, volume=grid.ndim == 3), "notices": notices}
    if grid.ndim == 2:
        return Scan.from_image(array.swapaxes(0, 1), grid, **about)
    return Scan.from_volume(array, grid, **about)


def header_fields(path: Path) -> Fields:
    """All fields of a header, known or not."""
    return _fields(path)[0]


def _fields(path: Path) -> tuple[Fields, int]:
    fields: Fields = {}
    with path.open("rb") as stream:
        for _ in range(MOST_FIELDS):
            line = stream.readline(100_000)
            key, equals, value = line.decode("latin-1").partition("=")
            if not equals:
                break
            fields[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                return fields, stream.tell()
    raise InputError(
        "E-META-HEADER",
        f"{path.name} does not say where its voxels are (ElementDataFile).",
        "Write the file anew; a MetaImage header has DimSize, ElementType and ElementDataFile.",
    )


def _required(path: Path, fields: Fields, name: str) -> str:
    if name not in fields:
        raise InputError("E-META-HEADER", f'{path.name}: the header has no field "{name}".', "Export the file again.")
    return fields[name]


def detached_data(path: Path) -> list[Path]:
    """Files beside a header that hold its voxels, if they are not in the same file."""
    fields, offset = _fields(path)
    return [path.parent / name for name in _data_files(path, fields, offset)]


def _data_files(path: Path, fields: Fields, offset: int) -> list[str]:
    place = fields["ElementDataFile"]
    if place.upper() == "LOCAL":
        return []
    if place.split()[:1] == ["LIST"]:
        with path.open("rb") as stream:
            stream.seek(offset)
            lines = stream.read(1 << 24).decode("latin-1").splitlines()
        names = [line.strip() for line in lines if line.strip()]
        return list(require_some(path, names if len(names) > 1 else " ".join(names).split(), _CODE))
    if numbered := _NUMBERED.match(place):
        first, last, step = whole_numbers(path, "ElementDataFile", numbered[2], 3, least=-(10**9))
        return list(numbered_names(path, numbered[1], first, last, step, _CODE))
    return [place]


def _flag(fields: Fields, name: str, default: str = "False") -> bool:
    return fields.get(name, default).lower() in ("true", "1", "t", "yes")


def _grid(path: Path, fields: Fields, shape: tuple[int, ...]) -> tuple[Grid, tuple[Notice, ...]]:
    """ITK: position = origin + directions * spacing * index, in LPS."""
    n = len(shape)
    field = "ElementSpacing" if "ElementSpacing" in fields else "ElementSize"
    steps = np.array(numbers(path, field, fields.get(field, "1 " * n), n, positive=True))
    turn = next((name for name in _TURNS if name in fields), None)
    place = next((name for name in _ORIGINS if name in fields), None)
    rows = np.eye(n) if turn is None else np.array(numbers(path, turn, fields[turn], n * n)).reshape(n, n)
    first = np.zeros(n) if place is None else np.array(numbers(path, place, fields[place], n))
    unit = fields.get("DistanceUnits", "")
    scale = millimeters(path, unit) if unit and unit != "?" else 1.0
    notices = () if scale == 1.0 else (unit_notice(unit),)
    if n == 2:
        return Grid.scaled(shape, steps * scale), notices
    grid = Grid(shape, ras_affine(rows * steps[:, None] * scale, first * scale))
    return noted(grid, fields.get(PLACEMENT_KEY, "")), notices


def _data(path: Path, fields: Fields, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values (``shape``), in as many equal parts as there are files, each behind a header of its own."""
    names = _data_files(path, fields, offset)
    sources: list[Path | None] = [beside(path, name, _CODE) for name in names] or [None]
    count, rest = divmod(int(np.prod(shape, dtype=np.int64)), len(sources))
    if rest:
        raise InputError(_CODE, f"{path.name} spreads its voxels unevenly over {len(sources)} files.", COPY_AGAIN)
    parts = [_part(path, fields, source, offset, count, dtype) for source in sources]
    return (parts[0] if len(parts) == 1 else np.concatenate(parts)).reshape(shape, order="F")


def _part(
    path: Path, fields: Fields, source: Path | None, offset: int, count: int, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """The ``count`` values of one file: the image's own (None), or one beside it."""
    size = count * dtype.itemsize
    skip = whole_numbers(path, "HeaderSize", fields.get("HeaderSize", "0"), 1, least=-1)[0]
    try:
        with (source or path).open("rb") as stream:
            stream.seek(0 if source else offset)
            if skip == -1:
                stream.seek(max(0, stream.seek(0, io.SEEK_END) - size))
            else:
                stream.seek(skip, io.SEEK_CUR)
            if not _flag(fields, "BinaryData", "True"):
                return written_numbers(stream, count, dtype.newbyteorder("="))
            packing = Packing.ZLIB if _flag(fields, "CompressedData") else Packing.RAW
            return unpacked(stream, packing, size).values(dtype)
    except (OSError, ValueError, OverflowError) as error:
        raise InputError("E-META-CUT", f"{path.name} is cut short or damaged: {reason(error)}.", COPY_AGAIN) from error
