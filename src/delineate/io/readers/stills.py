"""One picture of several that belong together, whatever its format: what it holds decides, as for a picture alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.io.options import ReadOptions
from delineate.io.readers import picture, tiff

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_still(path: Path, options: ReadOptions) -> tuple[NDArray[Any], tuple[Notice, ...]]:
    """(height, width) or (height, width, 3), and what was done to it.

    Raises InputError naming the file where it cannot be read, or holds several pictures.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise InputError(
            "E-FILE-UNREADABLE",
            f"{path.name} cannot be read: {error.strerror}.",
            "See to its rights, and whether the disk is there.",
        ) from None
    if not head:
        raise InputError("E-FILE-EMPTY", f"{path.name} is empty (0 bytes).", "Copy or download it again.")
    return tiff.read_still(path, options) if head in _TIFF else picture.read_pixels(path, options)
