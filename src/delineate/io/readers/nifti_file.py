"""A NIfTI or Analyze file taken apart: its header, and where its voxels begin. The content decides, not the name."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np

from delineate.core.errors import InputError, Notice
from delineate.core.reading import COPY_AGAIN, reading
from delineate.io.limits import check_volume
from delineate.io.options import ReadOptions
from delineate.io.unpacking import Packing, Unpacked, unpacked

SINGLE: Final = {b"n+1\0": nib.Nifti1Header, b"n+2\0": nib.Nifti2Header}
PAIRS: Final = {b"ni1\0": nib.nifti1.Nifti1PairHeader, b"ni2\0": nib.nifti2.Nifti2PairHeader}
MOST_OFFSET: Final = 1 << 27  # bytes before the voxels: a header and its extensions
_ANALYZE: Final = 348  # bytes of a header
_BITS: Final = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24}  # of its number types
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, eq=False)
class NiftiFile:
    """What a file says of its voxels.

    path     as it was named
    header   nibabel's, without extensions
    data     the file with the voxels
    offset   where they begin in it, once unpacked
    content  what a gzip file was unpacked to, from its beginning; None where the voxels lie plainly in ``data``
    """

    path: Path
    header: Any
    data: Path
    offset: int
    shape: tuple[int, ...]
    content: Unpacked | None

    @classmethod
    def open(cls, path: Path, options: ReadOptions, notices: list[Notice]) -> NiftiFile:
        """Read the header, hold its size against the limits, and unpack what is packed, as far as it promises voxels.

        Raises InputError for a header that is unusable, and for voxels that are not all there.
        """
        told = path if is_header(_head(path)) else other_of_pair(path)
        if told is None:
            raise InputError(
                "E-NIFTI-HEADER",
                f"{path.name} has no NIfTI header, and none lies beside it.",
                "Write it anew with the program it came from; nibabel can tell what is wrong.",
            )
        head = _head(told)
        kind = header_kind(head)
        with reading(path, "E-NIFTI-HEADER", what="has an unusable NIfTI header"):
            header = kind(head[: kind.sizeof_hdr])
            stored = header.get_data_dtype()
        shape = _shape(path, header)
        check_volume(path, shape, stored.itemsize, options)
        single = kind in SINGLE.values()
        data = told if single else _data_of_pair(path, told)
        start = float(header["vox_offset"])
        if not 0 <= start <= MOST_OFFSET:
            raise InputError(
                "E-NIFTI-HEADER",
                f"{path.name} says its voxels begin at byte {start:g}.",
                "Write it anew with the program it came from; nibabel can tell what is wrong.",
            )
        content = _unpacked(data, int(start) + int(np.prod(shape, dtype=np.int64)) * stored.itemsize, notices)
        return cls(path, header, data, int(start), shape, content)

    def stored(self) -> Any:
        """All values as they are in the file, in its shape; mapped where they lie plainly."""
        dtype = self.header.get_data_dtype()
        if self.content is None:
            return np.memmap(self.data, dtype, "c", self.offset, self.shape, "F")
        count = int(np.prod(self.shape, dtype=np.int64))
        buffer = self.content.stream.getbuffer()
        return np.frombuffer(buffer, dtype, count, self.offset).reshape(self.shape, order="F")


def whole_header(path: Path, options: ReadOptions) -> Any:
    """The header with its texts and extensions, as nibabel has it."""
    found = NiftiFile.open(path, options, [])
    kind = type(found.header)
    with reading(path, "E-NIFTI-HEADER", what="has an unusable NIfTI header"):
        if found.content is not None:
            return kind.from_fileobj(BytesIO(bytes(found.content.stream.getbuffer()[: found.offset])))
        with path.open("rb") as stream:
            return kind.from_fileobj(BytesIO(stream.read(max(found.offset, kind.sizeof_hdr + 4))))


def header_kind(head: bytes) -> Any:
    """nibabel's class for a header that begins with these bytes."""
    for kinds in (SINGLE, PAIRS):
        for magic, kind in kinds.items():
            if magic in (head[344:348], head[4:8]):
                return kind
    return nib.AnalyzeHeader


def is_header(head: bytes) -> bool:
    """Whether bytes begin a NIfTI or Analyze header."""
    return header_kind(head) is not nib.AnalyzeHeader or is_analyze(head)


def is_analyze(head: bytes) -> bool:
    """Whether bytes begin an Analyze 7.5 header: its own size in front, dimensions, and a type with its bits."""
    if len(head) < _ANALYZE:
        return False
    for order in "<>":
        size, dimensions = *struct.unpack_from(f"{order}i", head), *struct.unpack_from(f"{order}h", head, 40)
        if size == _ANALYZE and 1 <= dimensions <= 7:
            return (
                _BITS.get(struct.unpack_from(f"{order}h", head, 70)[0]) == struct.unpack_from(f"{order}h", head, 72)[0]
            )
    return False


def other_of_pair(path: Path) -> Path | None:
    """The ``.img`` to a ``.hdr`` and the other way round, packed or not; None: there is none."""
    name = path.name.lower().removesuffix(".gz")
    stem, wanted = path.name[: len(name) - 4], {".hdr": ".img", ".img": ".hdr"}.get(name[-4:])
    if wanted is None:
        return None
    endings = (wanted, f"{wanted}.gz", wanted.upper(), f"{wanted.upper()}.GZ")
    return next((one for end in endings if (one := path.with_name(stem + end)).is_file()), None)


def _head(path: Path) -> bytes:
    from delineate.io.opening import file_head

    return file_head(path)


def _shape(path: Path, header: Any) -> tuple[int, ...]:
    dims = [int(n) for n in header["dim"]]
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        raise InputError(
            "E-NIFTI-DIM",
            f"{path.name} says its size is {dims}: sizes must be 1 or more.",
            "Write it anew with the program it came from.",
        )
    shape = dims[1 : dims[0] + 1]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) == 5 and shape[3] == 1:  # vector images keep time at 1
        shape = [*shape[:3], shape[4]]
    return tuple(shape + [1] * (3 - len(shape)))


def _data_of_pair(path: Path, told: Path) -> Path:
    data = other_of_pair(told)
    if data is None:
        raise InputError(
            "E-NIFTI-PAIR",
            f"{path.name} keeps its voxels in {told.with_suffix('.img').name}, which is missing.",
            "Keep the .hdr and the .img in one folder, under one name.",
        )
    return data


def _unpacked(data: Path, size: int, notices: list[Notice]) -> Unpacked | None:
    """The bytes up to the last voxel. Raises InputError if they are not all there."""
    with data.open("rb") as stream:
        packed = stream.read(2) == _GZIP
        stream.seek(0)
        if not packed:
            there = data.stat().st_size
            if there < size:
                raise _cut(data, f"{there} of {size} bytes are there")
            return None
        try:
            content = unpacked(stream, Packing.GZIP, size)
        except ValueError as error:
            raise _cut(data, str(error)) from error
    if content.tail:
        notices.append(Notice("W-GZIP-TAIL", f"{content.tail} bytes after the end of the gzip data are ignored."))
    return content


def _cut(path: Path, why: str) -> InputError:
    return InputError("E-NIFTI-CUT", f"{path.name} is cut short or damaged: {why}.", COPY_AGAIN)
