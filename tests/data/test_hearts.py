"""CAMUS in both releases, EchoNet-Dynamic and -Pediatric, and tables of views: their cases, phases, numbers, faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import small_hearts
from delineate.core.errors import InputError
from delineate.core.grid import Placement
from delineate.core.scan import ScanKind
from delineate.data.cases import Case, Task, Use
from delineate.data.layouts import read_dataset
from delineate.echo.record import View

MIDDLE = small_hearts.FRAMES // 2


def clips(root: Path, layout: str) -> list[Case]:
    found, cases = read_dataset(root)
    assert found == layout
    return [case for case in cases if case.task is Task.VIDEO]


@pytest.mark.parametrize("kind", ["nifti", "mhd"])
def test_camus_of_both_releases(kind: str, tmp_path: Path) -> None:
    small_hearts.camus(tmp_path / "training", kind, patients=1)
    pictures = [case for case in read_dataset(tmp_path)[1] if case.task is Task.IMAGE]
    assert {case.id for case in pictures} == {f"patient0001_{v}_{p}" for v in ("2CH", "4CH") for p in ("ED", "ES")}
    names = {target.name for target in pictures[0].open().targets(9, 0)}
    assert names == {"left ventricle", "myocardium", "left atrium"}
    two, four = (case.open() for case in clips(tmp_path, "CAMUS"))
    assert two.case.subject == four.case.subject == "patient0001" and two.case.use is Use.TRAIN
    for opened, view in ((two, "2CH"), (four, "4CH")):
        assert opened.scan.kind is ScanKind.VIDEO and opened.scan.frame_spacing == pytest.approx((0.6, 0.6))
        assert opened.echo is not None and opened.echo.view == {"2CH": View.A2C, "4CH": View.A4C}[view]
        assert (opened.echo.diastole, opened.echo.systole) == (0, MIDDLE)
        assert opened.echo.reported == {"ef": 50, "edv": 66.2, "esv": 33.1}
        truth = small_hearts.clip(view)
        for target in opened.targets(9, 0):
            for frame in opened.frames:
                assert (opened.truth(frame, target) == (truth[frame] == target.label)).all()
        whole = kind == "nifti"
        assert opened.frames == (tuple(range(MIDDLE + 1)) if whole else (0, MIDDLE))
        assert len(opened.scan) == (MIDDLE + 1 if whole else small_hearts.FRAMES)


def test_camus_with_two_phases_alone_is_a_clip_of_two_frames(tmp_path: Path) -> None:
    small_hearts.camus(tmp_path, patients=1, views=("4CH",))
    for file in tmp_path.rglob("*half_sequence*"):
        file.unlink()
    (case,) = clips(tmp_path, "CAMUS")
    opened = case.open()
    assert len(opened.scan) == 2 and opened.echo is not None and (opened.echo.diastole, opened.echo.systole) == (0, 1)


def test_camus_says_which_patients_are_for_testing(tmp_path: Path) -> None:
    small_hearts.camus(tmp_path / "database_nifti", patients=2, views=("4CH",))
    (tmp_path / "database_split").mkdir()
    (tmp_path / "database_split" / "subgroup_testing.txt").write_text("patient0002\n")
    assert {(c.subject, c.use) for c in clips(tmp_path, "CAMUS")} == {
        ("patient0001", Use.TRAIN), ("patient0002", Use.TEST)
    }  # fmt: skip


def test_echonet_dynamic(tmp_path: Path) -> None:
    small_hearts.echonet(tmp_path)
    first, second = clips(tmp_path, "EchoNet")
    assert (first.use, second.use, first.dataset) == (Use.TRAIN, Use.TEST, "EchoNet-Dynamic")
    opened = first.open()
    assert set(opened.frames) == {0, MIDDLE} and opened.scan.grid.placement is Placement.PIXELS
    assert opened.echo is not None and (opened.echo.diastole, opened.echo.systole) == (0, MIDDLE)
    assert opened.echo.reported == {"ef": 48, "edv": 77, "esv": 40} and opened.echo.view is View.A4C
    (target,) = opened.targets(9, 0)
    truth = small_hearts.clip("4CH")[0] == 1
    found = opened.truth(0, target)
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.97


def test_echonet_pediatric(tmp_path: Path) -> None:
    small_hearts.pediatric(tmp_path)
    a4c, psax = clips(tmp_path, "EchoNet")
    assert (a4c.id, a4c.dataset, a4c.use) == ("A4C/CRA4C-000000", "EchoNet-Pediatric", Use.TEST)
    for case, view in ((a4c, View.A4C), (psax, View.PSAX)):
        opened = case.open()
        assert opened.echo is not None and opened.echo.view is view and set(opened.frames) == {0, MIDDLE}


@pytest.mark.parametrize("view", ["A4C", "PSAX"])
def test_a_view_of_echonet_alone(view: str, tmp_path: Path) -> None:
    small_hearts.pediatric(tmp_path)
    (case,) = clips(tmp_path / view, "EchoNet")
    opened = case.open()
    assert opened.echo is not None and opened.echo.view is View(view)


def test_folders_above_a_data_set_say_nothing_of_it(tmp_path: Path) -> None:
    small_hearts.camus(tmp_path / "testing" / "camus" / "training", patients=1, views=("4CH",))
    assert {case.use for case in clips(tmp_path / "testing" / "camus", "CAMUS")} == {Use.TRAIN}
    small_hearts.camus(tmp_path / "camus" / "testing", patients=1, views=("4CH",))
    assert {case.use for case in clips(tmp_path / "camus", "CAMUS")} == {Use.TEST}
    assert {case.use for case in clips(tmp_path / "camus" / "testing", "CAMUS")} == {Use.TEST}


def test_several_clips_of_a_view_have_names_of_their_own(tmp_path: Path) -> None:
    small_hearts.views(tmp_path)
    with (tmp_path / "views.csv").open("a") as file:
        file.write("clips/a.avi,anna,A4C,clips/a_labels.nii.gz,0,4,0.6,test\n" * 2)
    assert [case.id for case in clips(tmp_path, "views of hearts")] == [
        "anna_A4C", "anna_A2C", "anna_A4C_2", "anna_A4C_3"
    ]  # fmt: skip


def test_a_table_of_views(tmp_path: Path) -> None:
    small_hearts.views(tmp_path)
    video, stack = (case.open() for case in clips(tmp_path, "views of hearts"))
    assert video.case.subject == stack.case.subject == "anna" and video.case.use is Use.TEST
    assert video.frames == (0, MIDDLE) and len(stack.frames) == small_hearts.FRAMES
    assert all(one.scan.frame_spacing == pytest.approx((0.6, 0.6)) for one in (video, stack))
    assert np.array_equal(video.labels.pixels(0) == 1, small_hearts.clip("4CH")[0] == 1)


def break_camus(root: Path) -> None:
    small_hearts.camus(root, "mhd", patients=1, views=("4CH",))
    (root / "patient0001" / "Info_4CH.cfg").unlink()


def longer_camus(root: Path) -> None:
    small_hearts.camus(root, patients=1, views=("4CH",))
    (root / "patient0001" / "Info_4CH.cfg").write_text("ED: 1\nES: 40\n")


def late_trace(root: Path) -> None:
    small_hearts.echonet(root)
    text = (root / "VolumeTracings.csv").read_text().replace(f",{MIDDLE}\n", ",99\n").replace(f",{MIDDLE}\r", ",99\r")
    (root / "VolumeTracings.csv").write_text(text)


def no_columns(root: Path) -> None:
    small_hearts.echonet(root)
    (root / "VolumeTracings.csv").write_text("video,a,b\n0X000,1,2\n")


def odd_size(root: Path) -> None:
    small_hearts.views(root)
    text = (root / "views.csv").read_text().replace("0.6", "about half")
    (root / "views.csv").write_text(text)


FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "no Info file": (break_camus, "E-ECHO-PHASES", "Info_4CH"),
    "a phase behind the end": (longer_camus, "E-CASE-LABEL", "frame 40"),
    "a tracing behind the end": (late_trace, "E-CASE-LABEL", "frame 99"),
    "a table without columns": (no_columns, "E-ECHO-TABLE", "Frame"),
    "a pixel of no size": (odd_size, "E-ECHO-TABLE", "about half"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_told(name: str, tmp_path: Path) -> None:
    make, code, words = FAULTS[name]
    make(tmp_path)
    with pytest.raises(InputError, match=words) as told:
        [case.open() for case in read_dataset(tmp_path)[1] if case.task is Task.VIDEO]
    assert told.value.code == code and told.value.hint
