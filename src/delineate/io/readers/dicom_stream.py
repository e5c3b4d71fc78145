"""A DICOM file as a stream of plain elements: what is deflated (PS3.5 A.5) is unpacked as far as its picture goes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import pydicom

from delineate.io.unpacking import Packing, unpacked

_DEFLATED, _PLAIN = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1\0\0\0"
META = 144  # bytes before the file meta information: preamble, DICM, and the element that says its length
HEAD_BYTES = 8 << 20  # of deflated elements looked at to learn how large the picture is
SPARE_BYTES = 1 << 20  # for what follows the picture


def opened(path: Path) -> BinaryIO:
    """The file, at its beginning. Raises ValueError for damaged deflated data, OSError as ``open`` does."""
    stream = path.open("rb")
    head = stream.read(1024)
    stream.seek(0)
    if head[128:132] != b"DICM" or _DEFLATED not in head:
        return stream
    with stream:
        body = META + int.from_bytes(head[140:META], "little")
        meta = stream.read(body).replace(_DEFLATED, _PLAIN)
        beginning = meta + unpacked(stream, Packing.DEFLATE, HEAD_BYTES, least=0).stream.getvalue()
        promised = _promised(beginning) - body
        if promised <= HEAD_BYTES:
            return io.BytesIO(beginning[: body + promised])
        stream.seek(body)
        content = unpacked(stream, Packing.DEFLATE, promised, least=0)
    return io.BytesIO(meta + content.stream.getvalue())


def _promised(beginning: bytes) -> int:
    """Bytes up to the end of the picture its tags tell of, and some."""
    with io.BytesIO(beginning) as stream:
        tags = pydicom.dcmread(stream, stop_before_pixels=True)
        before = stream.tell()
    count = 1
    for name in ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel"):
        count *= max(1, int(tags.get(name) or 1))
    return before + count * int(tags.get("BitsAllocated") or 8) // 8 + SPARE_BYTES
