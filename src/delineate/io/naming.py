"""What outputs are called when nobody says, and what they cannot be called."""

from __future__ import annotations

import os
from pathlib import Path

from delineate.core.errors import OutputError
from delineate.core.scan import Scan, ScanKind

_SUFFIX = {ScanKind.IMAGE: "_seg.png", ScanKind.VOLUME: "_seg.nii.gz", ScanKind.VIDEO: "_seg"}
COMPANIONS = (".manifest.json", ".preview.png", ".film.mp4")  # of outputs, the record first
_LONG = (".nii.gz", ".seg.nrrd")
LONGEST_NAME = 240  # bytes; most file systems take 255, and temporary names are a little longer
LONGEST_FOLDER = 255


def require_name(path: Path) -> None:
    """Raise OutputError for a name that no file can have."""
    if "\0" in str(path):
        raise OutputError("E-OUTPUT-NAME", "A name of a file holds no zero byte.", "Choose another name with -o.")
    for part in path.parts:
        if len(os.fsencode(part)) > (LONGEST_NAME if part == path.name else LONGEST_FOLDER):
            raise OutputError(
                "E-OUTPUT-NAME", f"The name {part[:40]}… is too long for a file.", "Choose a shorter one."
            )


def stem_of(path: Path) -> str:
    """A file's name without its (possibly double) ending."""
    for ending in _LONG:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name if path.is_dir() else path.stem


def default_output(scan: Scan) -> Path:
    """``CASE_seg.png``, ``CASE_seg.nii.gz`` or the folder ``CASE_seg`` in the current folder."""
    return Path((stem_of(scan.file.path) if scan.file else "scan") + _SUFFIX[scan.kind])


def beside(output: Path, ending: str) -> Path:
    """A companion of an output: ``CASE_seg.nii.gz`` and ``.manifest.json`` give ``CASE_seg.manifest.json``."""
    output = output if output.name not in ("", "..") else output.resolve()
    return output.with_name(stem_of(output) + ending)
