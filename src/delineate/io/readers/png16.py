"""PNG with 16 bits a channel in colour, which Pillow would cut down to 8 (PNG specification, third edition, 2025)."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHANNELS = {2: 3, 4: 2, 6: 4}  # colour type: truecolour, grey + alpha, truecolour + alpha


def is_deep_colour(path: Path) -> bool:
    """Whether this is a 16-bit PNG of more than one channel, not interlaced."""
    with path.open("rb") as stream:
        head = stream.read(33)
    return len(head) == 33 and head[24] == 16 and head[25] in _CHANNELS and head[28] == 0


def read(path: Path) -> NDArray[Any]:
    """(height, width, channels) uint16. Raises ValueError for a damaged file."""
    data = path.read_bytes()
    width, height, _, colour = struct.unpack(">IIBB", data[16:26])
    channels = _CHANNELS[colour]
    packed = b"".join(content for kind, content in _chunks(data) if kind == b"IDAT")
    step = 2 * channels
    expected = height * (width * step + 1)
    raw = zlib.decompressobj().decompress(packed, expected)
    if len(raw) != expected:
        raise ValueError(f"{len(raw)} of {expected} bytes of pixels")
    lines = np.frombuffer(raw, np.uint8).reshape(height, 1 + width * step)
    out = np.zeros((height, width * step), np.uint8)
    above = np.zeros(width * step, np.uint8)
    for row, line in enumerate(lines):
        above = out[row] = _unfiltered(int(line[0]), line[1:], above, step)
    return out.view(">u2").reshape(height, width, channels).astype(np.uint16)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += size + 12
    return found


def _unfiltered(kind: int, line: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """One line with its PNG filter (0 to 4) undone."""
    if kind == 0:
        return line
    if kind == 1:
        return np.cumsum(line.reshape(-1, step), axis=0, dtype=np.uint8).ravel()
    if kind == 2:
        return line + above
    out = np.zeros(step + len(line), np.int32)
    over = np.concatenate([np.zeros(step, np.int32), above.astype(np.int32)])
    for n in range(step, len(out)):
        left, up, corner = int(out[n - step]), int(over[n]), int(over[n - step])
        guess = (left + up) // 2 if kind == 3 else _paeth(left, up, corner)
        out[n] = (int(line[n - step]) + guess) & 255
    return out[step:].astype(np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    estimate = left + up - corner
    distances = (abs(estimate - left), abs(estimate - up), abs(estimate - corner))
    return (left, up, corner)[distances.index(min(distances))]
