"""Opening a scan: what a file holds decides how it is read, whatever its name says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from delineate.errors import InputError, Notice
from delineate.io.options import ReadOptions
from delineate.scan import Scan

HEAD_BYTES = 1024


@dataclass(frozen=True)
class FileFormat:
    """A format this package reads.

    name      as shown to people
    suffixes  the names its files usually end in; only for telling that a name misleads
    matches   decides from the first HEAD_BYTES bytes (ungzipped if they were gzip) of a file
    module    the reader: a module with ``read(path, options) -> Scan``
    """

    name: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]
    module: str


FORMATS: tuple[FileFormat, ...] = ()  # filled by the reader helper


def open_scan(path: str | Path, options: ReadOptions | None = None, **changes: Any) -> Scan:
    """Open an image, a volume, a video, a DICOM series or a folder of frames.

    ``changes`` are fields of ReadOptions: ``open_scan("ct", series="3")``.
    Raises InputError or GeometryError saying what is wrong with the file and what to do.
    """
    chosen = replace(options or ReadOptions(), **changes)
    raise NotImplementedError


_ = (InputError, Notice, import_module)
