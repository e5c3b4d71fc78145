"""What verbs on files of labels share: where the result goes, how it is written, what is said of each structure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from delineate.core.errors import Notice, OutputError
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.core.terminal_text import figure
from delineate.io.naming import default_output, stem_of
from delineate.io.outputs import Outputs
from delineate.io.saving import outline_files, overlap_notices, write_outlines
from delineate.labels.reading import LabelFile
from delineate.outlines.stacks import unit_size


@dataclass(frozen=True)
class Size:
    """How large a structure is, and how large it was; None where it was not there.

    unit  ml of a volume, cm2 of an image, pixels or voxels where no mm are known
    """

    name: str
    label: int
    size: float
    before: float | None
    unit: str

    def __str__(self) -> str:
        """In one line."""
        digits = 0 if self.unit in ("pixels", "voxels") else 2
        now = f"{figure(self.size, digits)} {self.unit}" if self.size else "empty"
        was = "" if self.before in (None, self.size) else f", was {figure(self.before or 0, digits)} {self.unit}"
        return f"{self.name}: {now}{was}"


@dataclass(frozen=True, eq=False)
class LabelResult:
    """Outlines that were made of others, and where they were written."""

    segmentation: Segmentation
    files: tuple[Path, ...]
    sizes: tuple[Size, ...]
    notices: tuple[Notice, ...] = ()

    def as_json(self) -> dict[str, Any]:
        rows = [
            {"name": s.name, "label": s.label, "size": s.size, "before": s.before, "unit": s.unit} for s in self.sizes
        ]
        return {
            "files": [str(file) for file in self.files],
            "structures": rows,
            "notices": [notice.message for notice in self.notices],
        }


def sizes(after: Segmentation, before: Segmentation | None = None) -> tuple[Size, ...]:
    """The size of every structure, and what it was before."""
    amount, unit = unit_size(after)
    was = {one.name: one.area * amount for one in before.objects} if before is not None else {}
    return tuple(Size(o.name, o.label, o.area * amount, was.get(o.name), unit) for o in after.objects)


def target_of(source: LabelFile, output: Path | None, word: str) -> Path:
    """Where outlines go: as asked, or ``CASE_clean`` with the source's ending in the current folder."""
    if output is not None:
        return output
    name = source.path.name
    ending = name[len(stem_of(source.path)) :] if source.path.is_file() else ""
    target = Path(f"{stem_of(source.path)}_{word}{ending}")
    try:
        outline_files(target, source.segmentation.kind)
    except OutputError:
        usual = default_output(source.scan)
        return usual.with_name(f"{stem_of(source.path)}_{word}{usual.name[len(stem_of(usual)) :]}")
    return target


def write_labels(
    outlines: Segmentation,
    target: Path,
    scan: Scan,
    inputs: tuple[Path | None, ...],
    overwrite: bool,
    split: bool = False,
) -> tuple[tuple[Path, ...], tuple[Notice, ...]]:
    """Write outlines on their own grid; gives the files, and what the format has no room for.

    Raises OutputError for an output that is an input, or must not be replaced.
    """
    files = outline_files(target, outlines.kind, outlines.names if split else None)
    with Outputs(tuple(files), inputs, overwrite) as outputs:
        write_outlines(outlines, files, scan, outputs)
    return tuple(files), overlap_notices(outlines, files)


def on_labels(source: LabelFile) -> Scan:
    """What writers need to know of the scan that labels lie on: a video's times, a NIfTI file's geometry."""
    return replace(source.scan, notices=())


def emptied(before: Segmentation, after: Segmentation) -> tuple[Notice, ...]:
    """What should be said of structures of which nothing is left."""
    gone = [o.name for o in after.objects if not o.area and o.name in before and before[o.name].area]
    return tuple(Notice("W-LABEL-EMPTY", f"Nothing is left of {name}.") for name in gone)
