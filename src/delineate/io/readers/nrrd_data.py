"""The voxels of a NRRD file: in it, beside it, or in several files; raw, compressed or written out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError
from delineate.core.reading import COPY_AGAIN, reason
from delineate.core.terminal_text import excerpt
from delineate.io.readers.detached import beside
from delineate.io.readers.header_fields import whole_numbers
from delineate.io.readers.nrrd_header import NrrdHeader
from delineate.io.readers.written_numbers import written_numbers
from delineate.io.unpacking import Packing, unpacked

_PACKINGS: Final = {
    "raw": Packing.RAW, "gzip": Packing.GZIP, "gz": Packing.GZIP, "bzip2": Packing.BZIP2, "bz2": Packing.BZIP2,
}  # fmt: skip
_TEXT: Final = ("ascii", "text", "txt")


def read_data(header: NrrdHeader, sizes: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[NDArray[Any], bool]:
    """The values (``sizes``), the first axis fastest; and whether the data go on after them.

    Raises InputError for data that are cut, damaged, or encoded otherwise.
    """
    count = int(np.prod(sizes, dtype=np.int64))
    files = [beside(header.path, name, "E-NRRD-DATA") for name in header.data_files]
    if count % max(1, len(files)):
        raise InputError(
            "E-NRRD-DATA",
            f"{header.path.name} spreads {count} values over {len(files)} files, which is not even.",
            "Copy the data file into the folder of its header, and name it without a folder.",
        )
    each = count // max(1, len(files))
    sources: list[Path | None] = [*files] if files else [None]
    parts = [_part(header, source, each, dtype) for source in sources]
    values = parts[0][0] if len(parts) == 1 else np.concatenate([part for part, _ in parts])
    return values.reshape(sizes, order="F"), any(surplus for _, surplus in parts)


def _part(header: NrrdHeader, source: Path | None, count: int, dtype: np.dtype[Any]) -> tuple[NDArray[Any], bool]:
    encoding = header.fields.get("encoding", "raw").lower()
    if encoding not in (*_TEXT, *_PACKINGS):
        raise InputError(
            "E-NRRD-ENCODING",
            f"{header.path.name} is encoded as {excerpt(encoding, 30)}, which is not read.",
            "Save it as raw, gzip, bzip2 or ascii.",
        )
    lines, skip = _skips(header)
    try:
        with (source or header.path).open("rb") as stream:
            stream.seek(0 if source else header.offset)
            for _ in range(lines):
                while (piece := stream.readline(1 << 16)) and not piece.endswith(b"\n"):
                    pass
                if not piece:
                    raise ValueError("it ends before the lines to skip do")
            if encoding in _TEXT:
                stream.seek(max(0, skip), io.SEEK_CUR)
                return written_numbers(stream, count, dtype), False
            return _packed(stream, _PACKINGS[encoding], count * dtype.itemsize, skip, dtype)
    except (OSError, ValueError) as error:
        raise InputError("E-NRRD-CUT", f"{header.path.name} has unusable data: {reason(error)}.", COPY_AGAIN) from error


def _packed(
    stream: BinaryIO, packing: Packing, size: int, skip: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], bool]:
    """``byte skip`` counts unpacked bytes; -1 of raw data: the last ones of the file are meant."""
    if packing is Packing.RAW:
        if skip < 0:
            stream.seek(max(stream.tell(), stream.seek(0, io.SEEK_END) - size))
        else:
            stream.seek(skip, io.SEEK_CUR)
        skip = 0
    found = unpacked(stream, packing, size + max(0, skip))
    return np.frombuffer(found.stream.getbuffer()[max(0, skip) :], dtype), found.surplus


def _skips(header: NrrdHeader) -> tuple[int, int]:
    """Lines and bytes before the voxels. Raises InputError where they cannot be meant."""
    lines = whole_numbers(header.path, "line skip", header.fields.get("line skip", "0"), 1, least=0)[0]
    skip = whole_numbers(header.path, "byte skip", header.fields.get("byte skip", "0"), 1, least=-1)[0]
    if lines > 10_000_000 or skip > 1 << 31:
        raise InputError(
            "E-NRRD-DATA",
            f"{header.path.name} skips {lines} lines and {skip} bytes before its voxels.",
            "Copy the data file into the folder of its header, and name it without a folder.",
        )
    return lines, skip
