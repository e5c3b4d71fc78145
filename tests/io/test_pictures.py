"""Pictures to point by and to check outlines by."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from delineate.cli import app, guard
from delineate.core.errors import InputError, OutputError
from delineate.core.grid import Grid
from delineate.core.resolve import FramePrompts
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.io.frame_view import FrameView, font, wrapped
from delineate.io.outline_colors import outline_colors
from delineate.io.overlay import Remarks, _chosen, contact_sheet
from delineate.io.ruler_picture import LEFT, TOP, ruler_picture
from delineate.verbs.inspect import InspectRequest, inspect

AFFINES = {
    "left posterior": np.diag([-1.0, -1.0, 3.0, 1.0]),
    "right anterior": np.diag([1.0, 1.0, 3.0, 1.0]),
    "tall pixels": np.diag([-1.0, 2.0, 5.0, 1.0]),
}


def volume(affine: np.ndarray, at: tuple[int, int] = (40, 12)) -> Scan:
    """A dark volume with one bright spot on slice 2."""
    voxels = np.zeros((64, 48, 5), np.int16)
    voxels[at[0] - 1 : at[0] + 2, at[1] - 1 : at[1] + 2, 2] = 1000
    return Scan.from_volume(voxels, Grid((64, 48, 5), affine), window=(0.0, 1000.0))


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_what_lies_at_a_number_is_seen_where_the_ruler_says(affine: np.ndarray) -> None:
    scan = volume(affine)
    picture = np.asarray(ruler_picture(scan, 2).convert("RGB")).astype(int)
    view = FrameView.of(scan, least=800)
    bright = (picture.min(axis=2) > 200)[TOP + 40 : TOP + view.height - 40, LEFT + 40 : LEFT + view.width - 40]
    rows, columns = np.nonzero(bright)
    u, v = view.place(40, 12)
    assert abs(columns.mean() + 40 - u) < view.across and abs(rows.mean() + 40 - v) < view.down


@pytest.mark.parametrize(
    ("name", "sides"), [("left posterior", "RLAP"), ("right anterior", "RLAP")], ids=["stored", "turned"]
)
def test_the_patients_right_is_on_the_left_and_the_front_above(name: str, sides: str) -> None:
    view = FrameView.of(volume(AFFINES[name]))
    assert view.left + view.right + view.top + view.bottom == sides
    assert (view.place(0, 0)[0] > view.place(1, 0)[0]) == view.turned_x == (name == "right anterior")


def test_pixels_keep_their_proportion_and_none_is_lost() -> None:
    view = FrameView.of(volume(AFFINES["tall pixels"]))
    assert view.width >= 64 and abs(view.down / view.across - 2) < 0.05
    large = Scan.from_image(np.zeros((700, 1200), np.uint8))
    assert (FrameView.of(large).width, FrameView.of(large).height) == (1200, 700)


def disc(scan: Scan, *names: str) -> Segmentation:
    found = Segmentation.empty(scan)
    rows, columns = np.mgrid[: scan.height, : scan.width]
    for n, name in enumerate(names):
        mask = Rle.encode((rows - 20) ** 2 + (columns - 15 - 9 * n) ** 2 < 40)
        frames = range(len(scan))
        found = found.adding(name).with_masks(name, dict.fromkeys(frames, mask), {f: 0.5 + f / 20 for f in frames})
    return found


def test_doubtful_frames_come_first_the_least_sure_before_others() -> None:
    scan = Scan.from_frames(np.zeros((40, 48, 64), np.uint8))
    remarks = Remarks({7: [("a", FramePrompts(box=(1, 1, 9, 9)))]}, {9: [("a", "x")], 4: [("a", "y")]})
    numbers = _chosen(disc(scan, "a"), remarks, 12)
    assert numbers[:2] == [4, 9] and 7 in numbers and numbers[2:] == sorted(numbers[2:])
    assert 10 <= len(numbers) == len(set(numbers)) <= 12


def test_a_preview_says_that_it_is_empty() -> None:
    scan = volume(AFFINES["left posterior"])
    empty = np.asarray(contact_sheet(scan, Segmentation.empty(scan).adding("a")))
    assert (empty.reshape(-1, 3) == (255, 196, 0)).all(axis=1).any()


def test_prompts_and_reasons_are_drawn() -> None:
    scan = volume(AFFINES["left posterior"])
    click = FramePrompts(np.array([[20.0, 20.0]]), np.array([True]), box=(5.0, 5.0, 30.0, 30.0))
    plain = contact_sheet(scan, disc(scan, "a"))
    told = contact_sheet(scan, disc(scan, "a"), Remarks({2: [("a", click)]}, {3: [("a", "area jumped")]}))

    def holds(picture: Image.Image, color: tuple[int, int, int]) -> bool:
        return bool((np.asarray(picture).reshape(-1, 3) == color).all(axis=1).any())

    assert holds(told, (60, 255, 90)) and holds(told, (255, 196, 0))
    assert not holds(plain, (60, 255, 90)) and not holds(plain, (255, 196, 0))


@pytest.mark.parametrize("ground", [(150, 60, 50), (230, 75, 53), (90, 90, 90), (20, 160, 140)], ids=str)
def test_colors_stand_out_from_the_ground_and_from_each_other(ground: tuple[int, int, int]) -> None:
    scan = Scan.from_image(np.full((48, 200, 3), ground, np.uint8))
    names = [f"s{n}" for n in range(16)]
    outlines = disc(scan, *names)
    chosen = outline_colors(outlines, [(0, scan.pixels(0))])
    values = np.array([chosen[name] for name in names], float)
    assert np.abs(values - ground).max(axis=1).min() > 60
    apart = np.linalg.norm(values[:, None] - values[None], axis=2) + 999 * np.eye(16)
    assert apart.min() > 20


def test_inspect_writes_the_picture(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "a.png")
    request = InspectRequest(input=tmp_path / "a.png", picture=tmp_path / "where.png")
    inspect(request)
    assert Image.open(tmp_path / "where.png").width > 800
    with pytest.raises(OutputError, match="exists already"):
        inspect(request)
    inspect(request.model_copy(update={"overwrite": True}))
    with pytest.raises(OutputError):
        inspect(request.model_copy(update={"picture": tmp_path / "where.jpg"}))
    with pytest.raises(OutputError):
        inspect(request.model_copy(update={"picture": tmp_path / "a.png", "overwrite": True}))
    with pytest.raises(InputError):
        inspect(request.model_copy(update={"frame": 3, "overwrite": True}))


@pytest.mark.parametrize("answer", ["y", "n"])
def test_segment_without_a_prompt_offers_it_on_a_terminal(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guard, "open_streams", lambda: None)
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("delineate.cli.where_picture.typer.confirm", lambda *a, **k: answer == "y")
    assert guard.run(app, ["segment", "a.png"]) == 2
    told = capsys.readouterr()
    assert (tmp_path / "a.where.png").exists() == (answer == "y")
    assert ("delineate segment a.png --box" in told.out) == (answer == "y")
    assert ("E-PROMPT-NONE" in told.err) == (answer == "n")


def test_a_long_remark_stays_within_its_tile() -> None:
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    text = "look: left ventricle, it was followed through a jump of brightness and the outline lost half of its size"
    lines = wrapped(pen, text, 14, 200)
    assert " ".join(lines) == text and len(lines) > 2
    assert all(pen.textlength(line, font=font(14)) <= 200 for line in lines)
    assert wrapped(pen, "immeasurably" * 9, 14, 50) == ["immeasurably" * 9]
