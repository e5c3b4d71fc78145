"""Every layout made small and read; what is wrong with a folder is found; no subject on both sides of a split."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from delineate.core.errors import InputError
from delineate.data.cases import Task
from delineate.data.check import check_dataset, split_by_subject, subject_of
from delineate.data.layouts import read_dataset
from delineate.data.sa_med2d import parse_name
from small_data_sets import DISC, camus, folders, manifest, nnunet, picture, sa_med2d, vos

LAYOUTS: dict[str, tuple[Callable[[Path], None], int, Task, str]] = {
    "nnU-Net raw": (nnunet, 2, Task.VOLUME, "heart"),
    "VOS": (vos, 1, Task.VIDEO, "object"),
    "SA-Med2D": (sa_med2d, 1, Task.IMAGE, "spleen"),
    "CAMUS": (camus, 1, Task.IMAGE, "left ventricle"),
    "images and masks": (folders, 3, Task.IMAGE, "structure"),
    "manifest": (manifest, 1, Task.IMAGE, "disc"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_recognized_and_their_cases_open(name: str, tmp_path: Path) -> None:
    make, count, task, structure = LAYOUTS[name]
    root = tmp_path / "data"
    root.mkdir()
    make(root)
    found, cases = read_dataset(root)
    assert (found, len(cases), {c.task for c in cases}) == (name, count, {task})
    for case in cases:
        (target,) = case.open().targets(9, 0)
        assert target.name == structure and target.area == int(DISC.sum())
    card = check_dataset(root, tmp_path / "sheet.png")
    assert not card.problems and card.structures[structure] == count
    assert Image.open(tmp_path / "sheet.png").width > 100


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "images" / "0.png").unlink()
    picture(tmp_path / "masks" / "1_mask.png", DISC[:20])
    picture(tmp_path / "images" / "3.png", DISC * 102)
    picture(tmp_path / "masks" / "3_mask.png", DISC * 0)
    found = {p.what.split(":")[0][:32] for p in check_dataset(tmp_path).problems}
    assert "the picture is missing" in found and "nothing is labeled" in found
    assert any(p.what.startswith("the same picture as") for p in check_dataset(tmp_path).problems)
    assert len(found) >= 4


def test_other_folders_are_refused_with_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"notes\.txt"):
        read_dataset(tmp_path)


NAMES = {
    "masks/ct_00--AbdomenCT1K--Case_00011--x_0041--0000_001.png": ("ct", "00", "x_0041", "0000", "001"),
    "endoscopy--kvasir--cju0--2d_none--0001_000.png": ("endoscopy", None, "2d_none", "0001", "000"),
    "mr_t1--ACDC--patient_1--z_0003.png": ("mr", "t1", "z_0003", None, None),
}


@pytest.mark.parametrize("name", NAMES)
def test_sa_med2d_names(name: str) -> None:
    told = parse_name(name)
    assert (told["modality"], told["sub"], told["slice"], told["label"], told["instance"]) == NAMES[name]


def test_other_names_are_refused() -> None:
    with pytest.raises(InputError):
        parse_name("liver.png")


def test_a_subject_is_never_on_both_sides(tmp_path: Path) -> None:
    for subject in range(9):
        for frame in (1, 12):
            picture(tmp_path / "images" / f"patient{subject:03}_frame{frame:02}.png", DISC * (10 + subject + frame))
            picture(tmp_path / "masks" / f"patient{subject:03}_frame{frame:02}.png", DISC)
    _, cases = read_dataset(tmp_path)
    parts = split_by_subject(cases, (0.6, 0.2, 0.2), seed=3)
    assert sum(map(len, parts)) == 18 and all(parts)
    subjects = [{subject_of(case) for case in part} for part in parts]
    assert not (subjects[0] & subjects[1] or subjects[0] & subjects[2] or subjects[1] & subjects[2])
    assert parts == split_by_subject(cases, (0.6, 0.2, 0.2), seed=3)


def test_videos_of_one_name_in_two_sizes_are_two_cases(tmp_path: Path) -> None:
    vos(tmp_path / "made")
    for kind in ("JPEGImages", "Annotations"):
        for size in ("480p", "Full-Resolution"):
            shutil.copytree(tmp_path / "made" / kind, tmp_path / "data" / kind / size)
    _, cases = read_dataset(tmp_path / "data")
    assert [case.id for case in cases] == ["480p/clip", "Full-Resolution/clip"]
    assert len({subject_of(case) for case in cases}) == 1
