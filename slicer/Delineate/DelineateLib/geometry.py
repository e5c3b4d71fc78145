"""Slicer's volumes as files: the array (k, j, i) and its IJK to RAS matrix, exactly."""

from __future__ import annotations

import gzip
import struct
import zlib

import numpy as np

TYPES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
    "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double",
}  # fmt: skip


def nrrd_of(array: np.ndarray, ijk_to_ras: np.ndarray) -> bytes:
    """A volume as an NRRD file.

    array       (k, j, i), as ``slicer.util.arrayFromVolume`` gives it
    ijk_to_ras  (4, 4), mm

    Raises ValueError for colors, or a type of numbers that the format has no name for.
    """
    if array.ndim != 3:
        raise ValueError("A volume of gray values is needed: convert colors first (Vector to Scalar Volume).")
    kind = np.dtype(array.dtype).name
    if kind not in TYPES:
        raise ValueError(f"Volumes of {kind} cannot be sent: cast them first (Cast Scalar Volume).")
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(ijk_to_ras, float)
    vectors = " ".join(f"({','.join(repr(float(v)) for v in lps[:3, axis])})" for axis in range(3))
    header = (
        f"NRRD0004\ntype: {TYPES[kind]}\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {' '.join(str(n) for n in array.shape[::-1])}\nspace directions: {vectors}\n"
        "kinds: domain domain domain\nendian: little\nencoding: gzip\n"
        f"space origin: ({','.join(repr(float(v)) for v in lps[:3, 3])})\n\n"
    )
    content = np.ascontiguousarray(array, np.dtype(array.dtype).newbyteorder("<")).tobytes()
    return header.encode() + gzip.compress(content, 1)


def png_of(pixels: np.ndarray) -> bytes:
    """A frame (height, width) of whole numbers from 0 to 255 or 65535 as a gray PNG file."""
    height, width = pixels.shape
    depth = 8 if pixels.dtype == np.uint8 else 16
    rows = pixels.astype(np.uint8 if depth == 8 else ">u2")
    plain = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(plain, 1)) + chunk(b"IEND", b"")


def gray_frames(frames: np.ndarray) -> np.ndarray:
    """Frames (time, height, width) of any numbers as 8 or 16 bit, one scale for all. Raises ValueError for colors."""
    if frames.ndim != 3:
        raise ValueError("Frames of gray values are needed: convert colors first (Vector to Scalar Volume).")
    if frames.dtype in (np.uint8, np.uint16):
        return frames
    values = np.nan_to_num(frames.astype(np.float64))
    low, high = values.min(), values.max()
    if np.issubdtype(frames.dtype, np.integer) and high - low <= 65535:
        return (values - low).astype(np.uint16)
    return np.rint((values - low) * (65535 / max(high - low, 1e-12))).astype(np.uint16)


def to_ijk(points: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray:
    """RAS mm (n, 3) to voxel coordinates (n, 3), not rounded."""
    given = np.atleast_2d(np.asarray(points, float))
    return (np.linalg.inv(np.asarray(ijk_to_ras, float)) @ np.c_[given, np.ones(len(given))].T).T[:, :3]
