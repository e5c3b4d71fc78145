"""Arrays as the nnInteractive protocol packs them: a small header, then chunks compressed by Blosc2.

Layout: ``NNIA``, version, codec, number of axes, length of the data type's name, the name, the shape (int64), the
number of chunks (uint32), then for each chunk its plain and packed length (uint64) and its bytes. All little endian.
"""

from __future__ import annotations

import math
import struct
from typing import Final

import blosc2
import numpy as np
from numpy.typing import NDArray

from delineate.server.problems import RefusalError

MAGIC: Final = b"NNIA"
VERSION, CODEC = 1, 1  # the only version; 1 is Zstandard
MOST_AXES: Final = 4
KINDS: Final = frozenset("biuf")
CHUNK: Final = 2**30  # bytes of one chunk, at most


def pack(array: NDArray[np.generic]) -> bytes:
    """An array as bytes."""
    array = np.ascontiguousarray(array)
    name = array.dtype.name.encode()
    plain = array.tobytes()
    chunks = [plain[start : start + CHUNK] for start in range(0, len(plain), CHUNK)]
    head = MAGIC + bytes([VERSION, CODEC, array.ndim, len(name)]) + name
    parts = [head, struct.pack(f"<{array.ndim}qI", *array.shape, len(chunks))]
    for chunk in chunks:
        packed = blosc2.compress2(chunk, typesize=array.itemsize, codec=blosc2.Codec.ZSTD, clevel=1)
        parts += [struct.pack("<QQ", len(chunk), len(packed)), packed]
    return b"".join(parts)


def unpack(data: bytes, most_bytes: int) -> NDArray[np.generic]:
    """The array in ``data``; at most ``most_bytes`` are unpacked.

    Raises RefusalError (400; 413 for too much) before memory is taken for anything that does not fit.
    """
    try:
        return _unpacked(memoryview(data), most_bytes)
    except (struct.error, IndexError, ValueError, TypeError, RuntimeError) as error:
        raise _damaged(str(error)) from None


def _unpacked(data: memoryview, most_bytes: int) -> NDArray[np.generic]:
    if bytes(data[:4]) != MAGIC or data[4] != VERSION:
        raise _damaged("it does not begin with NNIA version 1")
    ndim, length = data[6], data[7]
    if not 1 <= ndim <= MOST_AXES:
        raise _damaged(f"it has {ndim} axes")
    at = 8 + length
    dtype = np.dtype(bytes(data[8:at]).decode("ascii"))
    if dtype.kind not in KINDS:
        raise _damaged(f"its type is {dtype}")
    *shape, count = struct.unpack_from(f"<{ndim}qI", data, at)
    at += 8 * ndim + 4
    if min(shape) < 0:
        raise _damaged("an axis has no length")
    size = math.prod(shape) * dtype.itemsize
    if size > most_bytes:
        raise RefusalError(
            "E-SERVE-LARGE",
            f"The array has {size} bytes, at most {most_bytes} are taken.",
            "Send a smaller one.",
            status=413,
        )
    plain = bytearray()
    for _ in range(count):
        whole, packed = struct.unpack_from("<QQ", data, at)
        at += 16
        if whole > min(CHUNK, size - len(plain)) or packed > len(data) - at:
            raise _damaged("a chunk is longer than the array")
        chunk = bytes(data[at : at + packed])
        if blosc2.get_cbuffer_sizes(chunk)[0] != whole:
            raise _damaged("a chunk unpacks to another length than it says")
        plain += blosc2.decompress2(chunk)
        at += packed
    if len(plain) != size:
        raise _damaged(f"it has {len(plain)} of {size} bytes")
    return np.frombuffer(plain, dtype).reshape(shape)


def _damaged(why: str) -> RefusalError:
    return RefusalError(
        "E-SERVE-ARRAY", f"This is no packed array: {why[:200]}.", "Send it as the client does.", status=400
    )
