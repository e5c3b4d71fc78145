"""The summary of a batch as CSV: a row for each structure of each scan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from delineate.core.manifest import Manifest, ObjectRecord
from delineate.core.terminal_text import rounded
from delineate.io.growing_table import GrowingTable
from delineate.verbs.outcome import Outcome

FAILED = "failed"


@dataclass(frozen=True)
class BatchRow:
    """What became of one structure on one scan.

    outcome  as of a single run, or "failed"
    frames   it is outlined on
    ml       None where no millimeters are known, and of pictures
    mean, least  confidence over those frames; None where there is none
    look_at  frames that are doubted, the worst first
    output   file or folder of the outlines, in the folder of the run
    error    why the scan was left out; "" where it was not
    """

    file: str
    structure: str = ""
    outcome: str = FAILED
    frames: int = 0
    pixels: int = 0
    ml: float | None = None
    mean: float | None = None
    least: float | None = None
    look_at: str = ""
    output: str = ""
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def rows_of(file: str, manifest: Manifest) -> Iterator[BatchRow]:
    """The rows of a scan that was done, from its record."""
    output = manifest.outputs[0].name if manifest.outputs else ""
    outcome = Outcome.of(manifest)
    why = "" if manifest.stopped is None else f"{manifest.stopped.code}: {manifest.stopped.message}"
    for one in manifest.objects:
        said = list(one.confidence.values())
        yield BatchRow(
            file,
            one.name,
            outcome if one.pixels or outcome is Outcome.PARTIAL else Outcome.EMPTY,
            one.frames,
            one.pixels,
            None if one.volume_mm3 is None else rounded(one.volume_mm3 / 1000, 4),
            round(sum(said) / len(said), 4) if said else None,
            min(said) if said else None,
            " ".join(map(str, _doubted(one))),
            output,
            why,
        )


def summary(path: Path) -> GrowingTable:
    """The table of a batch."""
    return GrowingTable(path, [one.name for one in fields(BatchRow)])


def _doubted(one: ObjectRecord) -> list[int]:
    return [place.frame for place in one.doubts]
