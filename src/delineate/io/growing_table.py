"""Tables of runs over many scans: CSV that gets the lines of a scan when it is done, and is read up to the last one."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delineate.core.errors import OutputError
from delineate.io.atomic import write_bytes


@dataclass(frozen=True)
class GrowingTable:
    """A file of rows with these columns."""

    path: Path
    columns: Sequence[str]

    def begin(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """A new file with rows that are known; an earlier one is replaced."""
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writeheader()
        write_bytes(self.path, text.getvalue().encode() + self._lines(rows))

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """The rows of one more scan. Raises OutputError where they cannot be written; none of them is then."""
        data = self._lines(rows)
        try:
            with self.path.open("ab", buffering=0) as stream:
                end = stream.tell()
                if stream.write(data) != len(data):
                    stream.truncate(end)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(stream.fileno())
        except OSError as error:
            raise OutputError(
                "E-OUTPUT-FAILED",
                f"{self.path} could not be written: {error.strerror or error}.",
                "See to the rights of the folder and to the space on the disk, then go on with --resume.",
            ) from error

    def rows(self) -> list[dict[str, str]]:
        """What was written; a last line without an end was cut, and is left out. Raises as csv does, and ValueError."""
        whole = self.path.read_bytes().rpartition(b"\n")[0].decode()
        return list(csv.DictReader(whole.split("\n")))

    def _lines(self, rows: Iterable[Mapping[str, Any]]) -> bytes:
        """A line for each row, whatever its words hold."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        for row in rows:
            writer.writerow({k: " ".join(v.splitlines()) if isinstance(v, str) else v for k, v in row.items()})
        return text.getvalue().encode()
