"""What outputs are called when nobody says."""

from __future__ import annotations

from pathlib import Path

from delineate.core.scan import Scan, ScanKind

_SUFFIX = {ScanKind.IMAGE: "_seg.png", ScanKind.VOLUME: "_seg.nii.gz", ScanKind.VIDEO: "_seg"}
COMPANIONS = (".manifest.json", ".preview.png", ".film.mp4")  # of outputs, the record first
_LONG = (".nii.gz", ".seg.nrrd")


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
