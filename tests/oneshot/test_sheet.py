"""The contact sheet begins with what a person has to look at."""

from __future__ import annotations

from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import InputError, OutputError
from delineate.oneshot.score_file import Row, append_rows, read_rows, write_rows
from delineate.oneshot.sheet import COLUMNS, TILE, SheetEntry, save_sheet
from delineate.verbs.oneshot import _entries


def entry(name: str, margin: float, confidence: float) -> SheetEntry:
    return SheetEntry(Path("no.png"), name, margin, "", confidence)


def test_the_doubtful_come_first_then_the_least_confident() -> None:
    entries = [
        entry("sure", 0.4, 0.9),
        entry("absent", -0.3, 0.2),
        entry("odd", 0.3, 0.4),
        entry("barely", 0.01, 0.8),
    ]
    assert [one.caption for one in sorted(entries, key=lambda one: one.place)] == ["barely", "absent", "odd", "sure"]


def test_a_sheet_is_as_wide_as_its_pictures_need(tmp_path: Path) -> None:
    for count, columns in ((1, 1), (6, 3), (100, COLUMNS)):
        save_sheet([entry(str(n), 0.2, 0.5) for n in range(count)], tmp_path / "sheet.png")
        with Image.open(tmp_path / "sheet.png") as sheet:
            assert np.floor(sheet.width / TILE) == columns


def test_a_target_stands_where_its_most_doubtful_structure_does(tmp_path: Path) -> None:
    rows = [
        Row("sure", "a", 0.9, 0.5, True, confidence=0.9),
        Row("mixed", "a", 0.9, 0.5, True, confidence=0.3),
        Row("mixed", "b", 0.51, 0.5, True, confidence=0.8),
        Row("absent", "a", 0.1, 0.5),
        Row("absent", "b", 0.49, 0.5),
        Row("broken", error="E-X: cut short"),
    ]
    entries = sorted(_entries(rows, tmp_path), key=lambda one: one.place)
    assert [one.caption for one in entries] == ["mixed", "absent", "broken", "sure"]
    assert [one.about for one in entries[:3]] == ["b: confidence 0.80", "b: not found", "E-X: cut short"]
    assert entries[2].picture is None, "no tile of an earlier run"


def test_a_line_that_was_cut_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    rows = [Row("a", "liver", 0.5, 0.4, True), Row("b, c", error='E-X: "cut"\nshort')]
    write_rows(rows[:1], tmp_path / "scores.csv")
    append_rows(rows[1:], tmp_path / "scores.csv")
    content = (tmp_path / "scores.csv").read_bytes()
    assert [row.error for row in read_rows(tmp_path / "scores.csv")] == ["", 'E-X: "cut" short']
    for end in range(content.index(b"b, c"), len(content)):
        (tmp_path / "scores.csv").write_bytes(content[:end])
        assert read_rows(tmp_path / "scores.csv") == rows[:1]


def test_rows_that_do_not_fit_on_the_disk_leave_those_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(FileIO):
        def write(self, data: Any) -> int:
            return super().write(data[:20])

    path = tmp_path / "scores.csv"
    write_rows([Row("a")], path)
    monkeypatch.setattr(Path, "open", lambda self, *_, **__: Full(self, "a"))
    with pytest.raises(OutputError, match="space"):
        append_rows([Row("b")], path)
    monkeypatch.undo()
    assert [row.target for row in read_rows(path)] == ["a"]


@pytest.mark.parametrize("more", [b"\0\0", b"\xff", b'"' + b"x" * 200_000], ids=["zeros", "no-text", "a-huge-cell"])
def test_scores_that_were_damaged_are_refused_in_words(tmp_path: Path, more: bytes) -> None:
    write_rows([Row("a", "liver", 0.5, 0.4, True)], tmp_path / "scores.csv")
    assert read_rows(tmp_path / "scores.csv")[0].found
    with (tmp_path / "scores.csv").open("ab") as stream:
        stream.write(more + b"\n")
    with pytest.raises(InputError, match="no file of scores"):
        read_rows(tmp_path / "scores.csv")
