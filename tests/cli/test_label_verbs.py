"""The verbs on files of labels, as they are typed: what they print, write and refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from delineate.cli import app
from delineate.cli.examples import EXAMPLES, SECTIONS
from delineate.cli.guard import run
from delineate.core.grid import Grid
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.io.saving import save
from delineate.labels.reading import open_segmentation
from delineate.outlines.stacks import with_stack
from every_verb import verbs
from label_shapes import ball, grid_around, volume_of

GRID = grid_around(np.diag([1.0, 1.0, 2.0]), 6)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    scan = Scan.from_volume(np.full(GRID.shape, 50, np.int16), GRID)
    outlines = volume_of(GRID, liver=ball(GRID, 5) | ball(GRID, 1.2, (10, -12, 30)), cyst=ball(GRID, 2))
    save(outlines, "a.seg.nrrd", scan)
    save(with_stack(outlines, "liver", ball(GRID, 4)), "b.nii.gz", scan)
    other = Grid(GRID.shape, GRID.affine + np.array([[0, 0, 0, 3.5]] + [[0, 0, 0, 0]] * 3))
    save(volume_of(other, liver=ball(other, 4)), "moved.nii.gz", Scan.from_volume(np.zeros(GRID.shape), other))
    return tmp_path


def typed(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(app, list(words))
    out, err = capfd.readouterr()
    return code, out, err


def test_clean_writes_beside_and_says_what_changed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capfd, "clean", "a.seg.nrrd", "--label", "liver", "--largest")
    assert code == 0 and "was" in out.splitlines()[0] and "cyst: " in out and "a_clean.seg.nrrd" in out
    assert open_segmentation("a_clean.seg.nrrd").segmentation.names == ("liver", "cyst")
    code, _, err = typed(capfd, "clean", "a.seg.nrrd", "--islands", "100", "-o", "none.nii.gz")
    assert code == 0 and "Nothing is left of liver" in err


def test_measure_prints_a_table_and_writes_others(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capfd, "measure", "a.seg.nrrd", "-o", "m.csv", "--slices", "s.json")
    assert code == 0 and out.splitlines()[0].split()[:2] == ["structure", "ml"]
    rows = list(csv.DictReader(Path("m.csv").read_text().splitlines()))
    assert [row["structure"] for row in rows] == ["liver", "cyst"] and float(rows[1]["volume_ml"]) > 0
    assert {row["structure"] for row in json.loads(Path("s.json").read_text())["rows"]} == {"liver", "cyst"}
    assert typed(capfd, "measure", "a.seg.nrrd", "-o", "m.csv", "--overwrite")[0] == 0
    Path("m.csv").write_text("mine")
    code, _, err = typed(capfd, "measure", "a.seg.nrrd", "-o", "m.csv", "--overwrite")
    assert code == 2 and "E-OUTPUT-FOREIGN" in err and Path("m.csv").read_text() == "mine"
    assert "structures" in json.loads(typed(capfd, "measure", "b.nii.gz", "--json")[1])


def test_compare_draws_where_they_differ(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capfd, "compare", "a.seg.nrrd", "b.nii.gz", "--picture", "d.png", "-o", "c.md")
    assert code == 0 and "Dice" in out and ["cyst", "1.000"] in [line.split()[:2] for line in out.splitlines()]
    with Image.open("d.png") as picture:
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 24) or []}
    assert (230, 75, 53) in colors and "hd95" in Path("c.md").read_text()


def test_combine_makes_structures(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("--make", "rim = liver - cyst", "--rename", "cyst = lesion", "--relabel", "rim = 9", "-o", "c.nii.gz")
    assert typed(capfd, "combine", "a.seg.nrrd", "b.nii.gz", "--how", "intersect", *words)[0] == 0
    found = open_segmentation("c.nii.gz").segmentation
    assert {one.name: one.label for one in found.objects} == {"liver": 1, "lesion": 2, "rim": 9}


def test_fill_between_fills(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    scan = Scan.from_frames(np.zeros((6, 20, 20), np.uint8))
    square = np.zeros((20, 20), bool)
    square[5:10, 5:10] = True
    masks = {0: Rle.encode(square), 5: Rle.encode(np.roll(square, 5, 1))}
    save(Segmentation.empty(scan).adding("tool").with_masks("tool", masks), "clip", scan)
    assert typed(capfd, "fill-between", "clip", "-o", "filled")[0] == 0
    found = open_segmentation("filled").segmentation["tool"]
    assert found.frames == tuple(range(6)) and found.masks[0] == masks[0] and found.masks[5] == masks[5]
    code, _, err = typed(capfd, "fill-between", "filled", "-o", "again")
    assert code == 0 and "Nothing of tool was filled in" in err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("clean", "a.seg.nrrd"), "E-CLEAN-NOTHING", "--largest"),
        (("clean", "a.seg.nrrd", "--grow", "-2"), "E-CLEAN-AMOUNT", "--shrink"),
        (("clean", "a.seg.nrrd", "--label", "livr", "--largest"), "E-OBJECT-UNKNOWN", 'mean "liver"'),
        (("clean", "a.seg.nrrd", "--largest", "--inside-file", "moved.nii.gz"), "E-LABELS-GRID", "--like"),
        (("measure", "a.seg.nrrd", "--scan", "moved.nii.gz"), "E-LABELS-GRID", "--like"),
        (("measure", "a.seg.nrrd", "-o", "m.xlsx"), "E-OUTPUT-FORMAT", ".csv"),
        (("measure", "a.seg.nrrd", "--space", "voxel"), "E-OPTION", "RAS"),
        (("compare", "a.seg.nrrd", "moved.nii.gz"), "E-LABELS-GRID", "convert"),
        (("compare", "a.seg.nrrd", "b.nii.gz", "--label", "lever"), "E-OBJECT-UNKNOWN", 'mean "liver"'),
        (("combine", "a.seg.nrrd", "moved.nii.gz"), "E-LABELS-GRID", "--like"),
        (("combine", "a.seg.nrrd", "--make", "rim"), "E-COMBINE-ASSIGNMENT", "outer - inner"),
        (("combine", "a.seg.nrrd", "--how", "xor"), "E-OPTION", "majority"),
        (("combine", "a.seg.nrrd", "--relabel", "liver = two"), "E-LABEL-RANGE", "whole number"),
        (("combine", "a.seg.nrrd", "-o", "a.seg.nrrd", "--overwrite"), "E-OUTPUT-INPUT", "-o"),
        (("measure", "missing.nii.gz"), "E-FILE-MISSING", "spelling"),
    ],
    ids=lambda value: " ".join(value[:1] + value[2:]) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_says_what_to_do(
    folder: Path, capfd: pytest.CaptureFixture[str], words: tuple[str, ...], code: str, says: str
) -> None:
    before = sorted(folder.iterdir())
    number, _, err = typed(capfd, *words)
    assert number == 2 and code in err and says in err
    assert sorted(folder.iterdir()) == before


def test_every_verb_stands_in_a_section_with_its_whole_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capfd, "--help")
    named = [name for names in SECTIONS.values() for name in names]
    assert (
        code == 0
        and all(f"{title}:" in out for title in SECTIONS)
        and "More:" not in out
        and "..." not in out.partition("Outline:")[2]
    )
    assert len(named) == len(set(named)) and {word.split()[0] for word in verbs()} == set(named)


def test_every_verb_has_examples() -> None:
    assert set(EXAMPLES) == set(verbs())


@pytest.mark.parametrize("verb", sorted(EXAMPLES))
def test_help_ends_with_three_examples(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capfd, *verb.split(), "--help")
    shown = [line.strip() for line in out.partition("Examples:\n")[2].splitlines() if line.strip()]
    assert code == 0 and tuple(shown) == EXAMPLES[verb] and len(shown) == 3
    assert all(line.startswith(f"delineate {verb} ") or line == f"delineate {verb}" for line in shown)
