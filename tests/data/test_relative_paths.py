"""Messages name files of a data set relative to it, and of other files the name alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from delineate.data.relative_paths import without_folders


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody's, with a data set in it, which a link leads to as well."""
    folder = tmp_path / "Jane Doe"
    (folder / "ds" / "images").mkdir(parents=True)
    (folder / "other scans").mkdir()
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return folder


CASES = [
    pytest.param("{root}/images/1.png is damaged.", "images/1.png is damaged.", id="in the data set"),
    pytest.param("no file {root}/images/a b.png, sorry", "no file images/a b.png, sorry", id="blanks in the name"),
    pytest.param("no file {root}/lost/new/1.png.", "no file lost/new/1.png.", id="folders that are not there"),
    pytest.param("{root} has no case", "ds has no case", id="the data set itself"),
    pytest.param('"{root}/l.png" and {root}/i.png', '"l.png" and i.png', id="two"),
    pytest.param("cut:\n{root}/i.png\n{root}/l.png", "cut:\ni.png\nl.png", id="lines"),
    pytest.param("{root}/images/../i.png", "i.png", id="up and inside"),
    pytest.param("{root}/../other scans/x.png leads out", "x.png leads out", id="up and outside"),
    pytest.param("{home}/other scans/x.png", "x.png", id="elsewhere"),
    pytest.param("(see {home}/gone/x.png)", "(see x.png)", id="elsewhere and not there"),
    pytest.param("/srv/scans/jane/x.png", "x.png", id="nothing of it is there"),
    pytest.param("../../jane/x.png", "x.png", id="above the current folder"),
    pytest.param("~/scans/x.png ~jane/y.png", "x.png y.png", id="homes"),
    pytest.param("file:///srv/jane/x.png", "file://x.png", id="an address of a file"),
    pytest.param(r"C:\Users\jane\x.png, \\server\jane\y.png", "x.png, y.png", id="of Windows"),
    pytest.param("link/ds/images/1.png {tmp}/link/ds/i.png", "images/1.png i.png", id="through a link"),
]


@pytest.mark.parametrize("spelled", ["absolute", "relative", "link"])
@pytest.mark.parametrize(("text", "expected"), CASES)
def test_paths_are_shortened(private: Path, text: str, expected: str, spelled: str) -> None:
    tmp = private.parent
    root = {"absolute": private / "ds", "relative": Path("Jane Doe/ds"), "link": Path("link/ds")}[spelled]
    if spelled != "link" and text.startswith("link"):
        text = text.replace("link/ds", f"{tmp}/link/ds", 1)
    shown = without_folders(text.format(root=root, home=private, tmp=tmp), root)
    assert shown == expected


def test_the_data_set_may_be_the_current_folder(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(private / "ds")
    text = f"images/1.png is damaged. {private}/ds/l.png. ../x.png"
    assert without_folders(text, Path()) == "images/1.png is damaged. l.png. x.png"


@pytest.mark.parametrize(
    "text",
    [
        "10 mm/px, 3 / 4, and/or: see https://example.org/a/b",
        "magic is b'\\x00\\x01', not n+1\\0",
        "images/1.png has 2 x 3 pixels",
        "ds holds nothing; ds_2 does",
        "",
    ],
)
def test_other_texts_stay(private: Path, text: str) -> None:
    assert without_folders(text, private / "ds") == text
    assert without_folders(text, Path("ds")) == text
    assert without_folders(text, Path(os.sep)) == text
