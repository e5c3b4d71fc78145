"""What a run may write: never an input, never what it did not write itself, all of it or nothing."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import delineate
import warm
from delineate.core.errors import OutputError
from delineate.core.rle import Rle
from delineate.core.scan import ScanKind
from delineate.core.segmentation import Segmentation
from delineate.io.opening import open_scan
from delineate.io.outputs import Outputs, check_run_folder
from delineate.io.own_files import MARK, is_own
from delineate.io.saving import outline_files
from small_scans import clip, picture, snapshot


def linked(link: Path, target: Path) -> Path:
    link.symlink_to(target)
    return link


def hard_linked(link: Path, target: Path) -> Path:
    os.link(target, link)
    return link


# name of the output, made from a folder with scan.png and the frames clip/
TOUCHING: list[tuple[str, Callable[[Path], Path]]] = [
    ("the-scan", lambda d: d / "scan.png"),
    ("relative-detour", lambda d: d / "clip" / ".." / "scan.png"),
    ("a-link-to-it", lambda d: linked(d / "other.png", d / "scan.png")),
    ("a-link-to-its-folder", lambda d: linked(d / "there", d) / "scan.png"),
    ("a-hard-link-to-it", lambda d: hard_linked(d / "hard.png", d / "scan.png")),
    ("the-folder-of-frames", lambda d: d / "clip"),
    ("a-link-to-the-frames", lambda d: linked(d / "again", d / "clip")),
    ("inside-the-frames", lambda d: d / "clip" / "out"),
    ("a-frame", lambda d: d / "clip" / "1.png"),
    ("a-hard-link-to-a-frame", lambda d: hard_linked(d / "frame.png", d / "clip" / "1.png")),
    ("what-a-link-among-the-frames-leads-to", lambda d: linked(d / "clip" / "9.png", picture(d / "far.png"))
     and d / "far.png"),
    ("a-folder-that-holds-them", lambda d: d),
    ("the-folder-above", lambda d: d / "clip" / ".."),
]  # fmt: skip


@pytest.mark.parametrize("made", [pytest.param(make, id=name) for name, make in TOUCHING])
@pytest.mark.parametrize("overwrite", [False, True], ids=["", "overwrite"])
def test_an_input_is_never_written_to(tmp_path: Path, made: Callable[[Path], Path], overwrite: bool) -> None:
    picture(tmp_path / "scan.png")
    clip(tmp_path / "clip")
    output = made(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(OutputError) as caught:
        Outputs([output], [tmp_path / "scan.png", tmp_path / "clip"], overwrite)
    assert caught.value.code == "E-OUTPUT-INPUT"
    assert snapshot(tmp_path) == before


def test_a_dangling_input_and_a_missing_output_are_no_conflict(tmp_path: Path) -> None:
    Outputs([tmp_path / "new" / "out.png"], [tmp_path / "gone.png", None])


FOREIGN: list[tuple[str, Callable[[Path], object]]] = [
    ("a-picture", picture),
    ("empty", lambda p: p.write_bytes(b"")),
    ("text", lambda p: p.write_text("precious")),
    ("damaged-gzip", lambda p: p.write_bytes(b"\x1f\x8b\x08broken")),
    ("gzip-of-something", lambda p: p.write_bytes(gzip.compress(b"precious"))),
    ("a-link-to-nowhere", lambda p: p.symlink_to(p.parent / "nowhere" / "x")),
]


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in FOREIGN])
def test_what_others_wrote_is_never_replaced(tmp_path: Path, make: Callable[[Path], object]) -> None:
    target = tmp_path / "out.png"
    make(target)
    if not target.exists():  # a link to nowhere: its place is free, and the link stays one
        with Outputs([target], overwrite=True) as outputs:
            outputs.stage(target).write_text(MARK)
        assert target.is_symlink() and is_own(tmp_path / "nowhere" / "x")
        return
    before = target.read_bytes()
    with pytest.raises(OutputError) as caught:
        Outputs([target], overwrite=True)
    assert caught.value.code == "E-OUTPUT-FOREIGN" and target.read_bytes() == before


@pytest.mark.parametrize("mode", [0o700, 0o770])
def test_what_was_private_stays_private(tmp_path: Path, mode: int) -> None:
    scan = open_scan(clip(tmp_path / "clip"))
    outlines = Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(np.ones((64, 64), bool))})
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(mode)
    delineate.save(outlines, tmp_path / "out", scan)
    delineate.save(outlines, tmp_path / "out", scan, overwrite=True)
    assert (tmp_path / "out").stat().st_mode & 0o777 == mode
    delineate.save(outlines, tmp_path / "a.npz", scan)
    (tmp_path / "a.npz").chmod(0o600)
    delineate.save(outlines, tmp_path / "a.npz", scan, overwrite=True)
    assert (tmp_path / "a.npz").stat().st_mode & 0o777 == 0o600


def test_an_empty_folder_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = open_scan(clip(tmp_path / "clip"))
    outlines = Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(np.ones((64, 64), bool))})
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    delineate.save(outlines, Path(), scan)
    assert Path("tracks.json").is_file() and is_own(Path.cwd())


def test_a_file_in_the_place_of_the_lock_stays(tmp_path: Path) -> None:
    lock = tmp_path / ".delineate-o.lock"
    lock.write_text("precious")
    with pytest.raises(OutputError, match="in the way"), Outputs([tmp_path / "o.png"]):
        pass
    assert lock.read_text() == "precious"


@pytest.mark.parametrize("name", ["o.png", "o.manifest.json", "o.preview.png"])
@pytest.mark.parametrize("there", ["folder", "pipe"])
def test_what_is_no_file_is_told_before_the_work(tmp_path: Path, name: str, there: str) -> None:
    (tmp_path / name).mkdir() if there == "folder" else os.mkfifo(tmp_path / name)
    with pytest.raises(OutputError) as caught:
        Outputs([tmp_path / "o.png", tmp_path / "o.manifest.json", tmp_path / "o.preview.png"], overwrite=True)
    assert caught.value.code in ("E-OUTPUT-FOLDER", "E-OUTPUT-SPECIAL")


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space"), Outputs([tmp_path / "a.png"]) as outputs:
        outputs.stage(tmp_path / "a.png").write_text("half")
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_all_outputs_of_a_run_appear_or_none(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    with pytest.raises(OutputError) as caught, Outputs([first, second]) as outputs:
        outputs.stage(first).write_text(MARK)
        outputs.stage(second).write_text(MARK)
        second.write_text("another run's, from a machine whose locks are not seen here")
    assert caught.value.code == "E-OUTPUT-EXISTS"
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"] and second.read_text().startswith("another")


def test_an_earlier_output_comes_back_when_the_next_fails(tmp_path: Path) -> None:
    names = [tmp_path / "a.txt", tmp_path / "out", tmp_path / "c.txt"]
    with Outputs(names) as outputs:
        outputs.stage(names[0]).write_text(f"old {MARK}")
        outputs.stage(names[1]).mkdir()
        (outputs.stage(names[1]) / "x.txt").write_text(f"old {MARK}")
    before = snapshot(tmp_path)
    with pytest.raises(OutputError) as caught, Outputs(names, overwrite=True) as outputs:
        outputs.stage(names[0]).write_text(f"new {MARK}")
        outputs.stage(names[1]).mkdir()
        outputs.stage(names[2]).write_text(f"new {MARK}")
        names[2].write_text("somebody's, written meanwhile")
    assert caught.value.code == "E-OUTPUT-FOREIGN"
    assert snapshot(tmp_path) == {**before, "c.txt": b"somebody's, written meanwhile"}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["file", "folder", "empty"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(5, "Input/output error")], ids=["interrupt", "disk"])
@pytest.mark.parametrize("after", [0, 1])
def test_what_stops_the_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, error: BaseException, after: int
) -> None:
    first, second = tmp_path / "out", tmp_path / "b.txt"
    if kind == "empty":
        first.mkdir()
    else:
        with Outputs([first, second]) as outputs:
            _fill(outputs.stage(first), kind, "old")
            outputs.stage(second).write_text(f"old {MARK}")
    before = snapshot(tmp_path)
    calls = iter(range(99))

    def stopped(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            if ".delineate-" in str(words) and next(calls) == after:
                raise error
            return real(*words, **more)

        return call

    with pytest.raises((KeyboardInterrupt, OutputError)), Outputs([first, second], overwrite=True) as outputs:
        _fill(outputs.stage(first), "folder" if kind == "empty" else kind, "new")
        outputs.stage(second).write_text(f"new {MARK}")
        for module, name in ((Path, "rename"), (Path, "replace"), (shutil, "move")):
            monkeypatch.setattr(module, name, stopped(getattr(module, name)))
        outputs._commit()
    monkeypatch.undo()
    assert snapshot(tmp_path) == before and first.exists() == (kind == "empty" or bool(before))


def _fill(path: Path, kind: str, text: str) -> None:
    if kind == "folder":
        path.mkdir()
        (path / "a.txt").write_text(text)
        (path / "b.txt").write_text(text)
    else:
        path.write_text(f"{text} {MARK}")


def test_an_error_during_the_work_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Outputs([tmp_path / "new" / "a.txt"]) as outputs:
        outputs.stage(tmp_path / "new" / "a.txt").write_text("half")
        raise KeyboardInterrupt
    assert not list((tmp_path / "new").iterdir())


def test_one_of_two_runs_to_a_name_is_told_before_its_work(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from delineate.io.outputs import Outputs
with Outputs([Path({str(tmp_path / "a.nii.gz")!r})]) as outputs:
    print("in", flush=True); sys.stdin.readline()
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "in\n"
    for name in ("a.nii.gz", "a.seg.nrrd", "a.manifest.json"):  # they share a manifest
        with pytest.raises(OutputError) as caught, Outputs([tmp_path / name]):
            pass
        assert caught.value.code == "E-OUTPUT-BUSY"
    other.kill()
    other.communicate()
    with Outputs([tmp_path / "a.nii.gz"]) as outputs:  # the lock of a killed run is no lock
        outputs.stage(tmp_path / "a.nii.gz").write_text(MARK)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_the_first_of_two_runs_without_a_common_lock_wins(tmp_path: Path) -> None:
    from delineate.io.outputs import _create

    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    _create(tmp_path / "one", tmp_path / "out")
    with pytest.raises(OutputError, match="meanwhile"):
        _create(tmp_path / "two", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "1"


@pytest.mark.parametrize(
    "names", [("a.png", "a.png"), ("a.png", "A.PNG"), ("\u00e9.png", "e\u0301.png")], ids=["same", "case", "composed"]
)
def test_no_two_outputs_share_a_name(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(OutputError) as caught:
        Outputs([tmp_path / name for name in names])
    assert caught.value.code == "E-OUTPUT-TWICE"


def test_structures_with_like_names_get_files_of_their_own(tmp_path: Path) -> None:
    scan = open_scan(picture(tmp_path / "scan.png"))
    outlines = Segmentation.empty(scan)
    for name in ("left/kidney", "left kidney", "Left Kidney", "left kidney 2"):
        outlines = outlines.adding(name).with_masks(name, {0: Rle.encode(np.ones((64, 64), bool))})
    files = delineate.save(outlines, tmp_path / "s.nii.gz", scan, split=True)
    assert len({file.name.casefold() for file in files}) == 4
    assert [int(np.asarray(nib.load(file).dataobj).max()) for file in files] == [1, 2, 3, 4]


def test_a_link_to_a_folder_is_written_through(tmp_path: Path) -> None:
    scan = open_scan(clip(tmp_path / "clip"))
    (tmp_path / "real").mkdir()
    link = linked(tmp_path / "link", tmp_path / "real")
    outlines = Segmentation.empty(scan).adding("a").with_masks("a", {0: Rle.encode(np.ones((64, 64), bool))})
    delineate.save(outlines, link, scan)
    assert link.is_symlink() and (tmp_path / "real" / "tracks.json").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip", "link", "real"]


@pytest.mark.parametrize("where", ["/proc/x.png", "/dev/null", "/proc/self/x/y.png"])
def test_places_that_are_none_are_refused(where: str) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    outputs = "could not be written|Nothing can be written|no ordinary file"  # and not that another run writes there
    with pytest.raises(OutputError, match=outputs), Outputs([Path(where)], overwrite=True) as written:
        written.stage(Path(where)).write_text(MARK)


LONG_NAMES = ["x" * 250 + ".nii.gz", "é" * 130 + ".png", "y" * 300 + "/a.png", "y" * 300, "a\0b.png"]


@pytest.mark.parametrize("name", LONG_NAMES, ids=["name", "bytes", "folder", "no-ending", "zero"])
def test_names_that_no_file_can_have_are_refused_before_the_work(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    for ask in (lambda: Outputs([file]), lambda: outline_files(file, ScanKind.IMAGE), lambda: check_run_folder(file)):
        with pytest.raises(OutputError) as caught:
            ask()
        assert caught.value.code == "E-OUTPUT-NAME" and len(caught.value.message) < 120


def test_a_run_folder_is_no_input_and_new(tmp_path: Path) -> None:
    clip(tmp_path / "data")
    for folder, code in (("data", "E-OUTPUT-INPUT"), ("data/run", "E-OUTPUT-INPUT"), (".", "E-OUTPUT-INPUT"),
                         ("full", "E-OUTPUT-EXISTS"), ("file", "E-OUTPUT-FOLDER")):  # fmt: skip
        (tmp_path / "full").mkdir(exist_ok=True)
        (tmp_path / "full" / "log.jsonl").write_text("mine")
        (tmp_path / "file").write_text("mine")
        with pytest.raises(OutputError) as caught:
            check_run_folder(tmp_path / folder, [tmp_path / "data"], ["last.safetensors"])
        assert caught.value.code == code, folder
    check_run_folder(tmp_path / "full", [tmp_path / "data"])
    check_run_folder(tmp_path / "new", [tmp_path / "data"], ["last.safetensors"])
    check_run_folder(tmp_path / "new", [tmp_path / "data"], ["last.safetensors"], resume=True)
    with pytest.raises(OutputError, match="no run"):  # --resume is no way to write among somebody's files
        check_run_folder(tmp_path / "full", [tmp_path / "data"], ["last.safetensors"], resume=True)
    (tmp_path / "full" / "last.safetensors").write_text("a run")
    check_run_folder(tmp_path / "full", [tmp_path / "data"], ["last.safetensors"], resume=True)


# --- the command line ----------------------------------------------------------------------------------------------


def run(*words: object, fails: bool = False) -> tuple[int, str]:
    done = warm.delineate("segment", *words, "--box", "16,16,48,40", "--threads", "1", cwd=Path.cwd())
    assert (done.returncode != 0) == fails, done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("scan", "output", "there"),
    [
        ("scan.png", "scan.png", ""),
        ("e.preview.png", "e.png", ""),
        ("scan.png", "c.png", "c.manifest.json"),
        ("scan.png", "c.png", "c.preview.png"),
        ("clip", "clip", ""),
        ("clip", "docs", "docs/thesis.txt"),
        ("clip", ".", ""),
    ],
    ids=["the-scan", "scan-named-as-the-preview", "manifest", "preview", "frames", "folder-of-others", "above"],
)
def test_segment_keeps_what_is_there(tmp_path: Path, scan: str, output: str, there: str) -> None:
    if scan == "clip":
        clip(tmp_path / "clip")
    else:
        picture(tmp_path / scan)
    if there:
        (tmp_path / there).parent.mkdir(exist_ok=True)
        (tmp_path / there).write_text("precious")
    before = snapshot(tmp_path)
    extra = ("--frame", "0") if scan == "clip" else ()
    code, text = run(tmp_path / scan, "-o", tmp_path / output, "--overwrite", *extra, fails=True)
    assert code == 2 and "E-OUTPUT" in text and "Traceback" not in text
    assert snapshot(tmp_path) == before


def test_a_record_is_not_taken_from_another_output(tmp_path: Path) -> None:
    scan = picture(tmp_path / "scan.png")
    run(scan, "-o", tmp_path / "case.nii.gz")
    before = snapshot(tmp_path)
    _, text = run(scan, "-o", tmp_path / "case.seg.nrrd", "--overwrite", fails=True)
    assert "E-OUTPUT-RECORD" in text and snapshot(tmp_path) == before


def test_a_preview_is_not_taken_from_another_output(tmp_path: Path) -> None:
    run(picture(tmp_path / "scan.png"), "-o", tmp_path / "x.nii.gz")
    for paths in (["x.png", "x.preview.png"], ["x.preview.png"]):
        with pytest.raises(OutputError) as caught:
            Outputs([tmp_path / name for name in paths], overwrite=True)
        assert caught.value.code == "E-OUTPUT-RECORD"


def test_an_edited_manifest_is_kept(tmp_path: Path) -> None:
    scan = picture(tmp_path / "scan.png")
    run(scan, "-o", tmp_path / "e.nii.gz")
    text = (tmp_path / "e.manifest.json").read_text()
    (tmp_path / "e.manifest.json").write_text(text.replace("{", '{"comment": "Dr X",', 1))
    before = snapshot(tmp_path)
    _, text = run(scan, "-o", tmp_path / "e.nii.gz", "--overwrite", fails=True)
    assert "E-OUTPUT-FOREIGN" in text and snapshot(tmp_path) == before


def test_eight_runs_to_one_name(tmp_path: Path) -> None:
    scan = picture(tmp_path / "scan.png")
    command = [sys.executable, "-m", "delineate", "segment", str(scan), "--threads", "1", "-o", str(tmp_path / "o.png")]
    runs = [
        subprocess.Popen([*command, "--box", f"{10 + n},16,48,40"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for n in range(8)
    ]
    said = [one.communicate()[1].decode() for one in runs]
    assert sorted(one.returncode for one in runs) == [0] + [2] * 7, said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.manifest.json", "o.png", "o.preview.png", "scan.png"]
    assert is_own(tmp_path / "o.png")
