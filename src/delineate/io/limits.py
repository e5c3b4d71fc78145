"""How much a file may ask for: the one place where declared sizes are held against the limits.

A limit counts pixels or voxels, and the bytes of as many values of four bytes each: what is decoded and held at once.
Readers call it with the declared size, before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from delineate.core.errors import InputError
from delineate.io.options import ReadOptions

ALWAYS = 1 << 20  # bytes that a file of any size may say it holds
BYTES_EACH = 4  # of a pixel or voxel: RGBA in 8 bits, float32


def check_picture(path: Path, width: int, height: int, pixel_bytes: int, options: ReadOptions) -> None:
    """Whether one frame or page may be decoded.

    Raises InputError, which names the option that raises the limit.
    """
    if _fits((width, height), pixel_bytes, options.max_pixels):
        return
    raise InputError(
        "E-PICTURE-LARGE",
        f"{path.name} would unpack to {_size((width, height), pixel_bytes, 'pixels')}; "
        f"at most {_limit(options.max_pixels, 'pixels')} are decoded.",
        "If you trust the file and have the memory, raise the limit with --max-pixels.",
    )


def check_volume(path: Path, shape: Sequence[int], voxel_bytes: int, options: ReadOptions) -> None:
    """Whether a volume, or all frames that are held together, may be read.

    Raises InputError, which names the option that raises the limit.
    """
    if _fits(shape, voxel_bytes, options.max_voxels):
        return
    raise InputError(
        "E-VOXELS-LARGE",
        f"{path.name} says it holds {_size(shape, voxel_bytes, 'voxels')}; "
        f"at most {_limit(options.max_voxels, 'voxels')} are read.",
        "If you trust the file and have the memory, raise the limit with --max-voxels.",
    )


def check_frames(path: Path, count: int, options: ReadOptions) -> None:
    """Whether there may be so many frames. Raises InputError."""
    if count > options.max_frames:
        raise InputError(
            "E-FRAMES-LARGE",
            f"{path.name} holds {count} frames, more than {options.max_frames}.",
            "If all of them are meant, raise the limit with --max-frames.",
        )


def require_plausible(path: Path, declared: float, ratio: float) -> None:
    """Whether a file can hold what it says, where a byte of it becomes ``ratio`` bytes at most.

    declared  bytes once it is unpacked
    Raises InputError: the rest would be made up, at the cost of memory.
    """
    size = path.stat().st_size
    if declared > ALWAYS + ratio * size:
        raise InputError(
            "E-FILE-CUT",
            f"{path.name} says it holds {declared / 2**20:.0f} MiB of pixels, which {size} bytes cannot hold.",
            "It is damaged or cut short: copy or download it again.",
        )


def _fits(shape: Sequence[int], each: int, limit: int) -> bool:
    count = float(np.prod(shape, dtype=float))
    return count <= limit and count * each <= limit * BYTES_EACH


def _size(shape: Sequence[int], each: int, what: str) -> str:
    return f"{' x '.join(map(str, shape))} {what} ({np.prod(shape, dtype=float) * each / 2**30:.1f} GiB)"


def _limit(count: int, what: str) -> str:
    return f"{count} {what} ({count * BYTES_EACH / 2**30:.1f} GiB)"
