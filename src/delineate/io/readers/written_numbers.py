"""Voxels written as text: numbers between white space."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from delineate.io.unpacking import PIECE


def written_numbers(stream: BinaryIO, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The first ``count`` numbers from where a stream stands. Raises ValueError if there are fewer."""
    parts: list[NDArray[Any]] = []
    found, rest = 0, b""
    while found < count and (block := stream.read(PIECE)):
        whole, rest = _at_last_gap(rest + block)
        parts.append(_numbers(whole, dtype))
        found += len(parts[-1])
        if len(rest) > PIECE:
            raise ValueError("a number has no end")
    parts.append(_numbers(rest, dtype))
    if found + len(parts[-1]) < count:
        raise ValueError(f"{found + len(parts[-1])} of {count} numbers are there")
    return np.concatenate(parts)[:count]


def _numbers(text: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Raises ValueError for a word that is not a number, or one that the type cannot hold."""
    words = text.split()
    if dtype.kind == "f":
        return np.array(words, dtype=np.float64).astype(dtype)
    limits = np.iinfo(dtype)
    if dtype.itemsize < 8:
        values = np.array(words, dtype=np.float64)
        if not ((values >= limits.min) & (values <= limits.max)).all():
            raise ValueError(f"a number does not fit into {dtype}")
        return values.astype(dtype)
    try:
        return np.array([int(word) for word in words], dtype=dtype)
    except OverflowError:
        raise ValueError(f"a number does not fit into {dtype}") from None


def _at_last_gap(text: bytes) -> tuple[bytes, bytes]:
    """Text up to its last white space, and the beginning of a number behind it."""
    at = max(text.rfind(gap) for gap in (b" ", b"\n", b"\t", b"\r")) + 1
    return text[:at], text[at:]
