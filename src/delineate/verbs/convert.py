"""The verb ``convert``: labels or a scan in another format, on the same grid; labels also brought onto another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import Field

from delineate.core.errors import InputError, Notice
from delineate.core.origin import origin_notices
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Overlap, Segmentation
from delineate.io.label_names import label_names
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.outputs import Outputs
from delineate.io.saving import outline_files, overlap_notices, write_outlines
from delineate.io.writers.image import image_writer, picture_notice
from delineate.io.writers.mask_folder import write_mask_folder
from delineate.labels.grids import resampled
from delineate.labels.reading import ARRAYS, LabelFile, open_segmentation
from delineate.verbs.label_files import Size, on_labels, sizes
from delineate.verbs.request import Overwrite, Request

MOST_VALUES: Final = 64  # different ones that a file without names may hold, to be taken for labels
LOOKED_AT: Final = 9  # frames


class Kind(StrEnum):
    """What a file holds."""

    AUTO = "auto"
    LABELS = "labels"
    IMAGE = "image"


class ConvertRequest(Request):
    """Everything ``convert`` needs to know."""

    input: Path
    reading: ReadOptions = ReadOptions()
    kind: str = Field(default="auto", description="What the file holds: labels or image; auto: as it looks.")
    like: Path | None = Field(default=None, description="A scan on whose grid labels are put, by where they lie.")
    threshold: float | None = Field(default=None, description="Labels of probabilities: this high or higher is inside.")
    split: bool = Field(default=False, description="Of labels: one file for each structure.")
    output: Path
    overwrite: Overwrite = False


@dataclass(frozen=True, eq=False)
class ConvertResult:
    """What was written.

    kind   what the file was taken for
    sizes  of structures, where it was labels
    """

    kind: Kind
    files: tuple[Path, ...]
    sizes: tuple[Size, ...]
    notices: tuple[Notice, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": str(self.kind),
            "files": [str(file) for file in self.files],
            "structures": [{"name": s.name, "label": s.label, "size": s.size, "unit": s.unit} for s in self.sizes],
            "notices": [notice.message for notice in self.notices],
        }


def convert(request: ConvertRequest) -> ConvertResult:
    """Convert labels or a scan to another format; grid, names and colors stay.

    Raises
    ------
    DelineateError
        If the file cannot be read, the format has no room for what it holds, or labels cannot be put on a grid.
    """
    if request.kind not in list(Kind):
        raise InputError(
            "E-OPTION", f'--kind "{request.kind}" is not one of {", ".join(Kind)}.', "Choose one of these."
        )
    kind = Kind(request.kind)
    if kind is Kind.AUTO:
        kind = _looks_like(request)
    return _labels(request) if kind is Kind.LABELS else _image(request)


def _labels(request: ConvertRequest) -> ConvertResult:
    source = open_segmentation(request.input, request.reading, request.threshold)
    found, scan, said = source.segmentation, on_labels(source), tuple[Notice, ...]()
    if request.like is not None:
        scan = open_scan(request.like)
        said = origin_notices(source.scan, scan, source.path.name)
        found = resampled(found, scan)
    write, files = _label_writer(request, found)
    with Outputs(tuple(files), (request.input, request.like), request.overwrite) as outputs:
        write(scan, outputs)
    notices = (*source.scan.notices, *said, *_missing(source, found), *overlap_notices(found, files))
    return ConvertResult(Kind.LABELS, tuple(files), sizes(found), notices)


def _label_writer(
    request: ConvertRequest, found: Segmentation
) -> tuple[Callable[[Scan, Outputs], None], Mapping[Path, str | None]]:
    """What writes outlines, and the files it writes with the structure in each (None: all of them).

    A volume may become a folder of pictures, too.
    """
    if found.kind is ScanKind.VOLUME and not request.output.suffix and not request.split:

        def write(scan: Scan, outputs: Outputs) -> None:
            write_mask_folder(found, outputs.stage(request.output), scan, Overlap.LATER)
            outputs.seal(request.output)

        return write, {request.output: None}
    files = outline_files(request.output, found.kind, found.names if request.split else None)
    return lambda scan, outputs: write_outlines(found, files, scan, outputs), files


def _missing(source: LabelFile, found: Segmentation) -> tuple[Notice, ...]:
    """Structures that lie outside the grid they were brought onto."""
    gone = [o.name for o in found.objects if not o.area and source.segmentation[o.name].area]
    return tuple(Notice("W-LABEL-EMPTY", f"{name} lies outside the grid it was brought onto.") for name in gone)


def _image(request: ConvertRequest) -> ConvertResult:
    for option, given in (("like", request.like), ("threshold", request.threshold), ("split", request.split or None)):
        if given is not None:
            raise InputError(
                "E-OPTION",
                f"--{option} is for labels, and {request.input.name} looks like a scan.",
                f"Leave out --{option}, or say that it holds labels: --kind labels.",
            )
    scan = open_scan(request.input, request.reading)
    write = image_writer(request.output, scan)
    notices = (*scan.notices, *picture_notice(request.output, scan))
    with Outputs((request.output,), (request.input,), request.overwrite) as outputs:
        write(scan, outputs.stage(request.output))
    return ConvertResult(Kind.IMAGE, (request.output,), (), notices)


def _looks_like(request: ConvertRequest) -> Kind:
    """Labels, if the file or the output says so, or few whole numbers are in it; else a scan."""
    path, ending = request.input, request.output.name.lower()
    if request.threshold is not None or request.like is not None or ending.endswith((".seg.nrrd", ".json")):
        return Kind.LABELS
    if path.suffix.lower() == ".json" or (path.is_dir() and (path / "tracks.json").is_file()):
        return Kind.LABELS
    if path.suffix.lower() == ".npz" and path.is_file():
        from delineate.io.readers.array_archive import array_archive

        with array_archive(path) as archive:
            if "imgs" not in archive.names and any(name in archive.names for name in ARRAYS):
                return Kind.LABELS
    scan = open_scan(path, request.reading, palette_indices=True)
    if scan.file is not None and any(one.name for one in label_names(path, scan.file.format).values()):
        return Kind.LABELS
    return Kind.LABELS if _few_whole_numbers(scan) else Kind.IMAGE


def _few_whole_numbers(scan: Scan) -> bool:
    if scan.channels > 1:
        return False
    values: set[float] = set()
    for index in np.unique(np.linspace(0, len(scan) - 1, min(len(scan), LOOKED_AT)).astype(int)):
        found = np.unique(scan.pixels(int(index)))
        if (
            found.size > MOST_VALUES
            or not np.isfinite(found).all()
            or found.min() < 0
            or (found != np.rint(found)).any()
        ):
            return False
        values |= set(found.tolist())
    return len(values) <= MOST_VALUES
