"""The file of finished cases: a line of JSON a case, so that a run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from delineate.core.errors import OutputError
from delineate.core.json_file import parse_json
from delineate.core.rle import Rle
from delineate.evaluation.protocol import Outcome

FORMAT = "delineate-outcomes/1"


def check_outcome_file(path: Path) -> None:
    """Raise OutputError for a file of that name that no evaluation began, or that is another file as well."""
    if not os.path.lexists(path):
        return
    ours = path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1
    if ours:
        with path.open("rb") as stream:
            ours = stream.readline().strip() == json.dumps({"format": FORMAT}).encode()
    if not ours:
        raise OutputError(
            "E-OUTPUT-FOREIGN",
            f"{path} exists already, and was not begun by an evaluation of this version.",
            "It is never written to: choose another folder with -o, or move it away yourself.",
        )


class FinishedCases:
    """Outcomes of finished cases: one line of JSON a case, added as it ends.

    Each line carries a digest of its key and its outcomes, so that one that was edited, by a slip or to look better, is
    not believed. It is no signature: who means to deceive can write a digest, too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, list[dict[str, Any]]] = {}
        edited: set[str] = set()
        text = path.read_text(errors="replace") if path.is_file() else ""
        self._cut = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                record = parse_json(line)
                key, outcomes, digest = str(record["key"]), record["outcomes"], record["digest"]
            except (ValueError, KeyError, TypeError):
                continue  # the line a run was stopped in, or one of an earlier version
            if digest == _digest(key, outcomes):
                self._lines[key] = outcomes
            else:
                edited.add(key)
        self.distrusted = len(edited - self._lines.keys())

    def get(self, key: str) -> list[Outcome] | None:
        """The outcomes of a case measured before, or None."""
        found = self._lines.get(key)
        return None if found is None else [_outcome(fields) for fields in found]

    def add(self, key: str, outcomes: list[Outcome]) -> None:
        fields = [_fields(outcome) for outcome in outcomes]
        line = json.dumps({"key": key, "outcomes": fields, "digest": _digest(key, fields)}, allow_nan=False)
        with self.path.open("a") as file:
            if not file.tell():
                file.write(json.dumps({"format": FORMAT}) + "\n")
            file.write(("\n" if self._cut else "") + line + "\n")
        self._cut = False


def _digest(key: str, outcomes: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps([key, outcomes], sort_keys=True).encode()).hexdigest()[:20]


def _fields(outcome: Outcome) -> dict[str, Any]:
    fields = asdict(replace(outcome, outline=Rle(0, 0, np.zeros(0, dtype=np.uint32))))
    fields["values"] = {key: value if np.isfinite(value) else None for key, value in outcome.values.items()}
    outline = outcome.outline
    return fields | {"outline": [outline.height, outline.width, outline.counts.tolist()]}


def _outcome(fields: dict[str, Any]) -> Outcome:
    height, width, counts = fields["outline"]
    values = {key: np.inf if value is None else value for key, value in fields["values"].items()}
    return Outcome(**(fields | {"values": values, "outline": Rle(height, width, np.array(counts))}))
