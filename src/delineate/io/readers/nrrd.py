"""NRRD volumes and 3D Slicer's .seg.nrrd (teem.sourceforge.net/nrrd/format.html)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import GeometryError, InputError, Notice
from delineate.core.grid import Grid, Placement
from delineate.core.scan import Scan
from delineate.io.limits import check_volume
from delineate.io.options import ReadOptions
from delineate.io.readers.itk_space import ras_affine
from delineate.io.readers.modality import guess
from delineate.io.unpacking import PIECE, Packing, unpacked

_TYPES = {
    "signed char": "i1", "int8": "i1", "int8_t": "i1", "uchar": "u1", "unsigned char": "u1", "uint8": "u1",
    "uint8_t": "u1", "short": "i2", "short int": "i2", "signed short": "i2", "signed short int": "i2", "int16": "i2",
    "int16_t": "i2", "ushort": "u2", "unsigned short": "u2", "unsigned short int": "u2", "uint16": "u2",
    "uint16_t": "u2", "int": "i4", "signed int": "i4", "int32": "i4", "int32_t": "i4", "uint": "u4",
    "unsigned int": "u4", "uint32": "u4", "uint32_t": "u4", "longlong": "i8", "long long": "i8", "int64": "i8",
    "int64_t": "i8", "ulonglong": "u8", "unsigned long long": "u8", "uint64": "u8", "uint64_t": "u8",
    "float": "f4", "double": "f8",
}  # fmt: skip
_SPACES = {
    "right-anterior-superior": "RAS", "ras": "RAS", "left-anterior-superior": "LAS", "las": "LAS",
    "left-posterior-superior": "LPS", "lps": "LPS",
}  # fmt: skip
_PACKINGS = {
    "raw": Packing.RAW, "gzip": Packing.GZIP, "gz": Packing.GZIP, "bzip2": Packing.BZIP2, "bz2": Packing.BZIP2,
}  # fmt: skip
_TEXT = ("ascii", "text", "txt")


def read(path: Path, options: ReadOptions) -> Scan:
    """A NRRD file as an image or volume; for .seg.nrrd the first layer's label map."""
    fields, offset = _fields(path)
    try:
        sizes = tuple(int(n) for n in fields["sizes"].split())
        dtype = np.dtype(_TYPES[fields["type"].lower()]).newbyteorder("<" if fields.get("endian") != "big" else ">")
    except (KeyError, ValueError) as error:
        raise InputError("E-NRRD-HEADER", f"{path.name}: the field {error} is missing or unknown.") from None
    if min(sizes, default=0) < 1:
        raise InputError("E-NRRD-HEADER", f"{path.name} says its sizes are {sizes}: they must be 1 or more.")
    check_volume(path, sizes, dtype.itemsize, options)
    directions = _vectors(fields.get("space directions", ""))
    spatial = [n for n, d in enumerate(directions) if d is not None] if directions else _spatial_by_kind(fields, sizes)
    stored, notices = _data(path, fields, offset, sizes, dtype)
    array = stored.astype(dtype.newbyteorder("="), copy=False)
    grid = _grid(path, fields, [sizes[n] for n in spatial], [d for d in directions if d is not None])
    others = [n for n in range(len(sizes)) if n not in spatial]
    if len(others) > 1:
        raise InputError("E-NRRD-DIM", f"{path.name} has {len(sizes)} axes, more than one of them not spatial.")
    array = array.transpose(*spatial, *others)
    if others and {"Segment0_ID", "Segment0_Name"} & fields.keys():
        array = array[..., 0]
    elif others and array.shape[-1] not in (1, 3):
        if options.index is None:
            raise InputError(
                "E-NRRD-LIST", f"{path.name} holds {array.shape[-1]} volumes.", "Choose one with --index N."
            )
        array = array[..., options.index]
    elif others and array.shape[-1] == 1:
        array = array[..., 0]
    about: dict[str, Any] = {"modality": guess(array[::2, ::2], path, volume=len(spatial) == 3)}
    about["notices"] = notices
    if len(spatial) == 2:
        return Scan.from_image(array.swapaxes(0, 1), grid, **about)
    return Scan.from_volume(array, grid, **about)


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """The header's fields with lower-case names (key/value pairs keep theirs), and where the data begins."""
    raw = path.read_bytes() if path.stat().st_size < 1 << 20 else path.open("rb").read(1 << 20)
    end = min((at + len(gap) for gap in (b"\n\n", b"\r\n\r\n") if (at := raw.find(gap)) >= 0), default=len(raw))
    fields: dict[str, str] = {}
    for line in raw[:end].decode("utf-8", "replace").splitlines()[1:]:
        if line.startswith("#") or not line.strip():
            continue
        key, colon, value = line.partition(":=") if ":=" in line else line.partition(":")
        if colon:
            fields[key.strip() if colon == ":=" else key.strip().lower()] = value.strip()
    return fields, end


def detached_data(path: Path) -> list[Path]:
    """The file beside a header that holds its voxels, if they are not in the same file."""
    fields, _ = _fields(path)
    detached = fields.get("data file") or fields.get("datafile")
    return [path.parent / detached] if detached else []


def _vectors(text: str) -> list[tuple[float, ...] | None]:
    parts = text.replace(") (", ")|(").replace("none (", "none|(").replace(") none", ")|none").split("|")
    return [
        None if part.strip() == "none" else tuple(float(v) for v in part.strip(" ()").split(","))
        for part in parts
        if part.strip()
    ]


def _spatial_by_kind(fields: dict[str, str], sizes: tuple[int, ...]) -> list[int]:
    kinds = fields.get("kinds", "").lower().split()
    free = {"rgb-color", "vector", "list", "rgba-color", "3-color", "4-color", "time", "3-vector", "covariant-vector"}
    axes = [n for n in range(len(sizes)) if n >= len(kinds) or kinds[n] not in free]
    if not kinds and len(sizes) == 3 and sizes[0] == 3:
        axes = [1, 2]
    return axes[:3]


def _grid(path: Path, fields: dict[str, str], sizes: list[int], directions: list[tuple[float, ...]]) -> Grid:
    shape = tuple(sizes)
    if len(shape) not in (2, 3):
        raise InputError("E-NRRD-DIM", f"{path.name} has {len(shape)} spatial axes.")
    space = _SPACES.get(fields.get("space", "").lower())
    if directions and len(directions[0]) == 3:
        origin = (_vectors(fields.get("space origin", "(0,0,0)")) or [None])[0] or (0.0, 0.0, 0.0)
        rows = list(directions)
        if len(rows) == 2:
            rows.append(tuple(np.cross(rows[0], rows[1])))
        if not np.isfinite(rows).all():
            raise GeometryError("E-GRID-NAN", f"{path.name}: the space directions hold NaN.")
        placement = Placement.WORLD if space else Placement.SCALE
        return Grid(shape, ras_affine(rows, origin, space or "RAS"), placement=placement)
    spacings = [float(v) for v in fields.get("spacings", "").split() if v.lower() != "nan"]
    if directions:
        spacings = [float(np.linalg.norm(d)) for d in directions]
    if len(spacings) >= len(shape):
        return Grid.scaled(shape, spacings[-len(shape) :])
    return Grid(shape, placement=Placement.PIXELS)


def _data(
    path: Path, fields: dict[str, str], offset: int, sizes: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[NDArray[Any], tuple[Notice, ...]]:
    source = _detached(path, fields)
    encoding = fields.get("encoding", "raw").lower()
    count = int(np.prod(sizes, dtype=np.int64))
    notices: tuple[Notice, ...] = ()
    try:
        with (source or path).open("rb") as stream:
            stream.seek(0 if source else offset)
            if encoding in _TEXT:
                values = _written_out(stream, count, dtype)
            elif encoding in _PACKINGS:
                found = unpacked(stream, _PACKINGS[encoding], count * dtype.itemsize)
                values = found.values(dtype)
                if found.surplus:
                    notices = (Notice("W-DATA-SURPLUS", "The data go on after the voxels; the rest is ignored."),)
            else:
                raise ValueError(f"unknown encoding {encoding}")
    except (OSError, ValueError) as error:
        raise InputError(
            "E-NRRD-CUT", f"{path.name} has unusable data: {error}.", "Copy or download it again."
        ) from None
    return values.reshape(sizes, order="F"), notices


def _detached(path: Path, fields: dict[str, str]) -> Path | None:
    """The file of its own the voxels are in, if they are."""
    name = fields.get("data file") or fields.get("datafile")
    if not name:
        return None
    source = (path.parent / name).resolve()
    if source.parent != path.parent.resolve():
        raise InputError("E-NRRD-DATA", f"{path.name} points to data outside its own folder: {name}.")
    if not source.is_file():
        raise InputError("E-NRRD-DATA", f"{path.name} keeps its voxels in {name}, which is missing.")
    return source


def _written_out(stream: BinaryIO, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers as text. Raises ValueError if there are fewer than ``count``."""
    parts: list[NDArray[Any]] = []
    found, rest = 0, b""
    while found < count and (block := stream.read(PIECE)):
        whole, rest = _at_last_gap(rest + block)
        parts.append(np.array(whole.split(), dtype=np.float64).astype(dtype))
        found += len(parts[-1])
        if len(rest) > PIECE:
            raise ValueError("a number has no end")
    parts.append(np.array(rest.split(), dtype=np.float64).astype(dtype))
    if found + len(parts[-1]) < count:
        raise ValueError(f"{found + len(parts[-1])} of {count} numbers are there")
    return np.concatenate(parts)[:count]


def _at_last_gap(text: bytes) -> tuple[bytes, bytes]:
    """Text up to its last white space, and the beginning of a number behind it."""
    at = max(text.rfind(gap) for gap in (b" ", b"\n", b"\t", b"\r")) + 1
    return text[:at], text[at:]
