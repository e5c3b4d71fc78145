"""The scores of a run as CSV: a row for each structure of each target, read again when a run goes on."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from delineate.core.errors import InputError
from delineate.io.growing_table import GrowingTable


@dataclass(frozen=True)
class Row:
    """What became of one structure on one target.

    similarity  ``Match.similarity``
    threshold   from which on it counts as found
    frame       where it was matched best
    seconds     of the whole target
    file        of the outlines, in the folder of the run
    error       why the target was left out; "" where it was not
    confidence  ``Match.confidence``
    sha256      of the target: another scan may have its name when a run goes on
    """

    target: str
    structure: str = ""
    similarity: float = 0.0
    threshold: float = 0.0
    found: bool = False
    frame: int = 0
    origin: str = ""
    seconds: float = 0.0
    file: str = ""
    error: str = ""
    confidence: float = 0.0
    sha256: str = ""

    @property
    def margin(self) -> float:
        """Similarity over the threshold; -1 for a target that was left out."""
        return -1.0 if self.error else self.similarity - self.threshold

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """A new file of these rows."""
    _table(path).begin(map(_cells, rows))


def append_rows(rows: Sequence[Row], path: Path) -> None:
    """The rows of one more target at the end of the file."""
    _table(path).add(map(_cells, rows))


def read_rows(path: Path) -> list[Row]:
    """The rows of an earlier run; none where there is no file. Raises InputError for a file that was damaged."""
    if not path.is_file():
        return []
    try:
        return [_row(one) for one in _table(path).rows()]
    except (csv.Error, KeyError, ValueError, TypeError) as error:
        raise InputError("E-SCORES", f"{path} is no file of scores: {error}.", "Choose another -o.") from None


def _table(path: Path) -> GrowingTable:
    return GrowingTable(path, [one.name for one in fields(Row)])


def _cells(row: Row) -> dict[str, Any]:
    numbers = {name: f"{getattr(row, name):.4f}" for name in ("similarity", "threshold", "confidence")}
    return {**asdict(row), **numbers, "seconds": f"{row.seconds:.2f}", "found": int(row.found)}


def _row(cells: dict[str, str]) -> Row:
    return Row(
        cells["target"],
        cells["structure"],
        float(cells["similarity"]),
        float(cells["threshold"]),
        cells["found"] == "1",
        int(cells["frame"]),
        cells["origin"],
        float(cells["seconds"]),
        cells["file"],
        cells["error"],
        float(cells["confidence"]),
        cells.get("sha256", ""),
    )
