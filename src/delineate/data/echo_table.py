"""Clips of the heart in any folders, with a table of them: ``views.csv``.

file, patient, view  a clip beside the table (video, folder of frames, NIfTI, MHD), whose it is, A2C, A4C, ...
labels               of every frame, or of ``ed`` and then ``es`` alone: 1 left ventricle, 2 myocardium, 3 left atrium
ed, es               end-diastole and end-systole, frames counted from 0
mm_per_pixel         where the clip does not say it; one number, or two as ``0.3x0.4`` (right and down)
ef, edv, esv         what experts measured: %, ml
split                train or test
Only the first four columns are needed. Folders as those of TMED-2 become a data set with this table and outlines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from delineate.core.errors import InputError
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.data.confined import DataFolder
from delineate.data.echo_clips import (
    CARDIAC,
    Row,
    calibrated,
    number_in,
    open_clip,
    open_clip_labels,
    reported_in,
    rows_of,
)
from delineate.echo.record import EchoRecord, view_named

TABLE = "views.csv"
SIZE = re.compile(r"^(\d*\.?\d+)(?:\s*[x*]\s*(\d*\.?\d+))?$")


@dataclass(frozen=True)
class TableClip:
    """One row: its view, its two frames, the size of its pixels, and what was measured."""

    view: str
    ends: tuple[int | None, int | None]
    size: tuple[float, float] | None
    reported: tuple[tuple[str, float], ...]

    def __call__(self, case: Case) -> OpenedFiles:
        scan, labels = open_clip(case.image), open_clip_labels(case.label)
        if self.size is not None:
            scan = calibrated(scan, *self.size)
        ends = tuple(end for end in self.ends if end is not None)
        if any(not 0 <= end < len(scan) for end in ends):
            raise InputError(
                "E-CASE-LABEL",
                f"{TABLE} names frames {', '.join(map(str, ends))} of {case.image.name}, which has {len(scan)}.",
                "Frames are counted from 0.",
            )
        frames = tuple(range(len(scan))) if len(labels) == len(scan) else ends
        if len(frames) != len(labels):
            raise InputError(
                "E-CASE-LABEL",
                f"{case.label.name} labels {len(labels)} frames; {case.image.name} has {len(scan)}, and {TABLE} names "
                f"{len(ends)} of them.",
                "Label every frame, or two and say which in the columns ed and es.",
            )
        record = EchoRecord(view_named(self.view), *self.ends, dict(self.reported))
        return OpenedFiles(scan, labels, frames, echo=record)


def fits(home: DataFolder) -> bool:
    """Whether there is the table."""
    return (home.root / TABLE).is_file()


def read(home: DataFolder) -> Iterator[Case]:
    """One case a row that has labels; further clips of a patient's view are counted."""
    told: Counter[str] = Counter()
    for row in rows_of(home.inside(TABLE), ("file", "patient", "view", "labels")):
        if row["labels"]:
            use = Use.TEST if row.get("split", "").casefold() == "test" else Use.TRAIN
            name = f"{row['patient']}_{row['view'] or Path(row['file']).stem}"
            told[name] += 1
            name += f"_{told[name]}" if told[name] > 1 else ""
            files = home.root / row["file"], home.root / row["labels"]
            ends = tuple(None if (n := number_in(row, key)) is None else int(n) for key in ("ed", "es"))
            reader = TableClip(row["view"], (ends[0], ends[1]), _size(row), tuple(reported_in(row).items()))
            about = name, home.root.name, "ultrasound", Task.VIDEO
            yield Case(*about, *files, CARDIAC, use, row["patient"], reader)


def _size(row: Row) -> tuple[float, float] | None:
    """Millimeters of a pixel. Raises InputError for words that are no lengths."""
    text = row.get("mm_per_pixel", "")
    if not text:
        return None
    found = SIZE.match(text)
    across = float(found[1]) if found else 0.0
    down = float(found[2] or found[1]) if found else 0.0
    if not (0 < across < 1000 and 0 < down < 1000):
        raise InputError(
            "E-ECHO-TABLE",
            f'{TABLE} gives "{text}" as mm_per_pixel of {row["file"]}.',
            "Write one number above 0, or two as 0.3x0.4: right and down.",
        )
    return across, down
