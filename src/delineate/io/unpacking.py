"""Compressed data unpacked a piece at a time, once, and never beyond what a header promises."""

from __future__ import annotations

import bz2
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

PIECE = 1 << 20  # bytes read and unpacked at a time
DEFLATE_RATIO = 1032  # at most so many bytes come out of one


class Packing(StrEnum):
    """How a file keeps its values."""

    RAW = "raw"
    GZIP = "gzip"
    ZLIB = "zlib"
    DEFLATE = "deflate"  # without header and check, as in DICOM
    BZIP2 = "bzip2"


_DECODERS: dict[Packing, Callable[[], Any]] = {
    Packing.GZIP: lambda: zlib.decompressobj(wbits=31),
    Packing.ZLIB: zlib.decompressobj,
    Packing.DEFLATE: lambda: zlib.decompressobj(wbits=-15),
    Packing.BZIP2: bz2.BZ2Decompressor,
}
_MEMBER = {Packing.GZIP: b"\x1f\x8b", Packing.BZIP2: b"BZh"}  # of which a file may hold one after the other


@dataclass(frozen=True, eq=False)
class Unpacked:
    """The promised bytes.

    stream   holds them, at its beginning
    surplus  whether the data go on
    tail     bytes that follow the end of the compressed data, as far as that was reached
    """

    stream: io.BytesIO
    surplus: bool
    tail: int = 0

    def values(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """All of them as numbers (N,), not copied."""
        return np.frombuffer(self.stream.getbuffer(), dtype)


def unpacked(source: BinaryIO, packing: Packing, size: int, least: int | None = None) -> Unpacked:
    """The first ``size`` bytes of what ``source`` holds from where it stands; one more is looked for, not kept.

    Raises ValueError if there are fewer (than ``least``, where that is given), or the data are damaged.
    """
    out = io.BytesIO()
    kept, surplus = 0, False
    pieces = _raw(source, size) if packing is Packing.RAW else _pieces(source, packing)
    try:
        for piece in pieces:
            out.write(piece[: size - kept])
            surplus = kept + len(piece) > size
            kept = min(size, kept + len(piece))
            if surplus:
                break
    except (zlib.error, OSError) as error:
        raise ValueError(f"the {packing} data are damaged ({error})") from None
    except EOFError:
        pass  # whether all that was promised came before is what counts
    if kept < (size if least is None else least):
        raise ValueError(f"{kept} of {size} bytes are there")
    out.seek(0)
    return Unpacked(out, surplus, 0 if surplus or packing is Packing.RAW else _tail(source, packing))


def holds_more(source: BinaryIO, packing: Packing, size: int) -> bool:
    """Whether compressed data go on after ``size`` bytes; nothing is kept."""
    seen = 0
    try:
        for piece in _pieces(source, packing):
            seen += len(piece)
            if seen > size:
                return True
    except (zlib.error, OSError, EOFError):
        pass  # damaged before that
    return False


def _raw(source: BinaryIO, size: int) -> Iterator[bytes]:
    while size >= 0 and (piece := source.read(min(PIECE, size + 1))):
        size -= len(piece)
        yield piece


def _pieces(source: BinaryIO, packing: Packing) -> Iterator[bytes]:
    """What the members of a compressed stream unpack to; ``source`` is left behind the last of them.

    Raises EOFError where the data end early.
    """
    decoder, packed, ended = _DECODERS[packing](), b"", False
    while True:
        if not packed and getattr(decoder, "needs_input", True):
            packed = source.read(PIECE)
            ended = not packed
        piece = decoder.decompress(packed, PIECE)
        packed = getattr(decoder, "unconsumed_tail", b"")
        if piece:
            yield piece
        if decoder.eof:
            source.seek(-len(decoder.unused_data), io.SEEK_CUR)
            magic = _MEMBER.get(packing)
            following = source.read(len(magic)) if magic else b""
            source.seek(-len(following), io.SEEK_CUR)
            if not magic or following != magic:
                return
            decoder, packed = _DECODERS[packing](), b""
        elif ended and not piece:
            raise EOFError


def _tail(source: BinaryIO, packing: Packing) -> int:
    """Bytes behind the compressed data; zeros are padding."""
    rest = source.read(PIECE)
    if not rest.strip(b"\0"):
        return 0
    here = source.tell()
    return len(rest) + source.seek(0, io.SEEK_END) - here
