"""Many scans in one go: what is run over, what a list says, a summary, and one that fails among others."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.cli import app, guard
from delineate.core.errors import DelineateError
from delineate.verbs.batch import BatchRequest, batch
from delineate.verbs.batch_files import batch_files, read_list
from delineate.verbs.segment import SegmentRequest, SegmentTarget, segment


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures, the label of one, a note, and a picture that is none; beside them a volume."""
    monkeypatch.setattr(guard, "open_streams", lambda: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pics").mkdir()
    noise = np.random.default_rng(0).integers(0, 60, (48, 48), dtype=np.uint8)
    noise[10:30, 12:34] += 150
    for name in ("a", "b"):
        Image.fromarray(noise).save(tmp_path / "pics" / f"{name}.png")
    Image.fromarray((noise > 140).astype(np.uint8)).save(tmp_path / "pics" / "a_mask.png")
    (tmp_path / "pics" / "notes.txt").write_text("of no interest")
    (tmp_path / "pics" / "broken.png").write_text("no picture")
    volume = np.repeat(noise.T[..., None], 3, axis=2).astype(np.int16)
    nib.save(nib.Nifti1Image(volume, np.diag([-1.0, -1.0, 3.0, 1.0])), tmp_path / "v.nii.gz")
    return tmp_path


def typed(line: str) -> int:
    return guard.run(app, line.split())


def summary(folder: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(folder, "summary.csv").read_text().splitlines()))


def test_a_folder_a_summary_and_a_run_that_goes_on(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "batch pics --box 12,10,34,30 --label disc -o out"
    assert typed(line) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("pics/a.png: disc ") and len(out.splitlines()) == 3
    assert "a_mask.png" in err and "broken.png" in err, "what is left out is told"
    rows = summary("out")
    assert [(row["file"], row["outcome"]) for row in rows] == [("pics/a.png", "done"), ("pics/b.png", "done")]
    assert all(
        (scans / "out" / f"{n}{end}").exists() for n in "ab" for end in (".png", ".manifest.json", ".preview.png")
    )
    before = (scans / "out" / "a.manifest.json").stat().st_mtime_ns
    (scans / "out" / "b.png").unlink()
    assert typed(f"{line} --resume -q") == 0
    assert capsys.readouterr() == ("", ""), "quiet is quiet"
    assert (scans / "out" / "a.manifest.json").stat().st_mtime_ns == before, "what is done stays"
    assert (scans / "out" / "b.png").exists() and summary("out") == rows
    for other, code in ((line, "E-OUTPUT-EXISTS"), (f"{line} --resume".replace("34,30", "33,30"), "E-RESUME-OTHER")):
        assert typed(other) == 2 and code in capsys.readouterr().err


def test_a_list_gives_each_scan_its_own_prompts(scans: Path) -> None:
    (scans / "list.csv").write_text(
        'file,label,frame,box,point\nv.nii.gz,disc,1,"12,10,34,30",\nv.nii.gz,back,1,,"40,40 4,40"\n'
        'pics/a.png,disc,,"12,10,34,30","20,20"\n'
    )
    assert typed("batch --list list.csv --format .seg.nrrd -o out -q") == 0
    assert summary("out")[0]["structure"] == "disc" and summary("out")[0]["frames"] == "3"
    alone = segment(SegmentRequest(input=Path("v.nii.gz"), asked=read_list(Path("list.csv"))[Path("v.nii.gz")]))
    told = summary("out")[:2]
    assert [int(row["pixels"]) for row in told] == [one.pixels for one in alone.manifest.objects]


def test_one_that_fails_keeps_none_of_the_others(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("batch pics/broken.png pics/a.png --box 12,10,34,30 -o out") == 1
    assert "1 scan failed: see" in capsys.readouterr().err
    rows = summary("out")
    assert rows[0]["outcome"] == "failed" and rows[0]["error"].startswith("E-") and rows[1]["outcome"] == "done"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("batch pics -o out", "E-PROMPT-NONE"),
        ("batch none.png --box 1,1,9,9 -o out", "E-FILE-MISSING"),
        ("batch none/*.png --box 1,1,9,9 -o out", "E-FILE-MISSING"),
        ("batch --list none.csv -o out", "E-FILE-MISSING"),
        ("batch --list odd.csv -o out", "E-BATCH-LIST"),
        ("batch --list wrong.csv -o out", "E-BATCH-LIST"),
        ("batch pics --box 1,1,9,9 --undo 1 -o out", "E-OPTION-UNUSED"),
        ("batch pics --box 1,1,9,9 --format .jpg -o out", "E-REQUEST"),
        ("batch pics --box 1,1,9,9 -o v.nii.gz", "E-OUTPUT-FOLDER"),
        ("segment pics/*.png --box 1,1,9,9", "delineate batch"),
        ("segment pics/a.png pics/b.png --box 1,1,9,9", "delineate batch"),
    ],
)
def test_what_is_refused_before_the_first_scan(
    scans: Path, line: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (scans / "odd.csv").write_text("file,what\npics/a.png,3\n")
    (scans / "wrong.csv").write_text("file,box\npics/a.png,here\n")
    assert typed(line) == 2 and code in capsys.readouterr().err
    assert not (scans / "out").exists()


def test_patterns_and_lists_of_paths(scans: Path) -> None:
    (scans / "list.txt").write_text("# those of today\npics/b.png\n\nv.nii.gz\n")
    found, _ = batch_files((Path("pics/[ab].png"),), Path("list.txt"), frames=False)
    assert [file.path.name for file in found] == ["a.png", "b.png", "v.nii.gz"]
    target = SegmentTarget(prompts=())
    with pytest.raises(DelineateError):
        batch(BatchRequest(inputs=(Path("pics"),), asked=(target,), output=Path("out")))


def of_a_patient(folder: Path, patient: str, at: int) -> None:
    """A volume that has the same name in every patient's folder."""
    (folder / patient).mkdir(parents=True)
    voxels = np.random.default_rng(at).integers(0, 40, (48, 48, 3)).astype(np.int16)
    voxels[at : at + 12, at : at + 12] += 150
    nib.save(nib.Nifti1Image(voxels, np.diag([-1.0, -1.0, 3.0, 1.0])), folder / patient / "t1.nii.gz")


def test_what_is_done_is_told_by_the_scan_and_not_by_its_name(scans: Path) -> None:
    """A patient that is added shifts the names of outputs: none gets the outlines of another."""
    line = "batch pats --box 10,10,36,36 --frame 1 --frame-only -q -o out"
    for patient, at in (("p1", 12), ("p2", 20)):
        of_a_patient(scans / "pats", patient, at)
    assert typed(line) == 0
    before = {row["file"]: row["pixels"] for row in summary("out")}
    of_a_patient(scans / "pats", "p0", 16)
    (scans / "pats" / "p2" / "t1.nii.gz").unlink()
    (scans / "pats" / "p2").rmdir()
    of_a_patient(scans / "pats", "p2", 22)  # exported again
    assert typed(f"{line} --resume") == 0
    rows = {row["file"]: row for row in summary("out")}
    assert typed(line.replace("-o out", "-o fresh")) == 0
    assert {file: row["pixels"] for file, row in rows.items()} == {r["file"]: r["pixels"] for r in summary("fresh")}
    assert len(rows) == 3 and rows["pats/p1/t1.nii.gz"]["pixels"] == before["pats/p1/t1.nii.gz"]
    for row in rows.values():
        theirs, again = (np.asarray(nib.load(scans / out / row["output"]).dataobj) for out in ("out", "fresh"))
        assert np.array_equal(theirs, again)


def test_a_run_that_goes_on_does_what_its_list_says_by_now(scans: Path) -> None:
    line, record = "batch --list l.csv --label disc -q -o out", scans / "out" / "v.manifest.json"

    def done_again(row: str, *options: str) -> bool:
        (scans / "l.csv").write_text(f"file,label,frame,box,limit\n{row}\n")
        before = record.stat().st_mtime_ns if record.exists() else 0
        assert typed(" ".join([line, *options])) == 0
        return record.stat().st_mtime_ns != before

    assert done_again('v.nii.gz,,1,"12,10,34,30",')
    assert not done_again('v.nii.gz,,1,"12,10,34,30",', "--resume")
    assert done_again('v.nii.gz,,1,"14,12,30,26",', "--resume"), "another box"
    assert done_again('v.nii.gz,,1,"14,12,30,26",1-2', "--resume"), "a limit"
    assert not done_again('v.nii.gz,,1,"14,12,30,26",1-2', "--resume")
    assert done_again('v.nii.gz,b,1,"14,12,30,26",1-2', "--resume"), "another name"


def test_how_all_are_followed_and_named_holds_for_a_list_too(scans: Path) -> None:
    (scans / "l.csv").write_text('file,label,frame,box\nv.nii.gz,,1,"12,10,34,30"\n')
    for options, frames in (("--frame-only", "1"), ("--directions forward", "2"), ("", "3")):
        assert typed(f"batch --list l.csv --label disc -q -o out{frames} {options}") == 0
        row = summary(f"out{frames}")[0]
        assert (row["structure"], row["frames"]) == ("disc", frames)


@pytest.mark.parametrize(
    "error", [MemoryError("of a slice"), OSError(28, "No space left on device"), ValueError("odd")]
)
def test_what_nobody_foresaw_keeps_none_of_the_others(
    scans: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(request: SegmentRequest, **more: object) -> object:
        if request.input.name == "a.png":
            raise error
        return segment(request, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("delineate.verbs.batch.segment", fails)
    assert typed("batch pics --box 12,10,34,30 -q -o out") == 1
    assert [row["outcome"] for row in summary("out")] == ["failed", "done"]


@pytest.mark.parametrize("verb", ["batch v.nii.gz -o o", "segment v.nii.gz --from one.manifest.json -o o.nii.gz"])
def test_a_log_where_structures_by_name_are_meant_is_not_passed_over(
    scans: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert typed("segment v.nii.gz --box 12,10,34,30 --frame 1 --frame-only -o one.nii.gz -q") == 0
    assert typed(f"{verb} --prompts one.manifest.json --frame 1 --point 20,20") == 2
    assert "E-PROMPTS-TWICE" in capsys.readouterr().err and not Path("o").exists()


@pytest.mark.parametrize(("step", "says"), [(0.05, "0.0"), (1.0, " ml")])
def test_small_volumes_are_told_in_digits_that_count(
    scans: Path, capsys: pytest.CaptureFixture[str], step: float, says: str
) -> None:
    voxels = np.asarray(nib.load(scans / "v.nii.gz").dataobj)
    nib.save(nib.Nifti1Image(voxels, np.diag([step, step, step, 1.0])), scans / "s.nii.gz")
    for verb, output in (("segment", "s_seg.nii.gz"), ("batch", "batch")):
        assert typed(f"{verb} s.nii.gz --box 12,10,34,30 --frame 1 --frame-only -o {output}") == 0
        out = capsys.readouterr().out
        assert "0.00 ml" not in out and ("mm3" in out if step < 1 else "ml" in out) and says in out
    row = summary("batch")[0]
    assert float(row["ml"]) == pytest.approx(int(row["pixels"]) * step**3 / 1000, rel=1e-3)
