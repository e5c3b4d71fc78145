"""The command as a person types it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from delineate.demo.phantom import phantom_volume, ultrasound_clip
from warm import delineate


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture, a volume and a clip."""
    folder = tmp_path_factory.mktemp("scans")
    clip = ultrasound_clip(frames=6).scan
    Image.fromarray(clip.pixels(0)).save(folder / "us.png")
    (folder / "clip").mkdir()
    for n, frame in enumerate(one.pixels for one in clip.frames()):
        Image.fromarray(frame).save(folder / "clip" / f"{n}.png")
    volume = phantom_volume().scan
    nib.save(nib.Nifti1Image(volume.voxels()[:, :, 14:22], volume.grid.affine), folder / "ct.nii.gz")
    return folder


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("us.png", "--box", "80,70,180,210"), "us_seg.png"),
        (("us.png", "--point", "128,140", "--neg", "20,20"), "us_seg.png"),
        (("ct.nii.gz", "--box", "20,15,80,85", "--frame", "3", "--label", "liver"), "ct_seg.nii.gz"),
        (("ct.nii.gz", "--box", "20,15,1,80,85,6"), "ct_seg.nii.gz"),
        (("ct.nii.gz", "--point", "50,50,3", "--frame-only"), "ct_seg.nii.gz"),
        (("clip", "--box", "80,70,180,210"), "clip_seg"),
    ],
    ids=["image-box", "image-clicks", "volume-box", "volume-3d-box", "one-slice", "video"],
)
def test_segment_writes_and_its_manifest_repeats_it(
    scans: Path, tmp_path: Path, arguments: tuple[str, ...], output: str
) -> None:
    source = scans / arguments[0]
    ran = delineate("segment", source, *arguments[1:], cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    stem = output.split(".")[0]
    manifest = tmp_path / f"{stem}.manifest.json"
    assert (tmp_path / output).exists() and (tmp_path / f"{stem}.preview.png").is_file()
    again = tmp_path / f"again{''.join(Path(output).suffixes)}"
    ran = delineate("segment", source, "--prompts", manifest, "-o", again, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    for path in [again] if again.is_file() else sorted(again.rglob("*.*")):
        first = tmp_path / output if again.is_file() else tmp_path / output / path.relative_to(again)
        assert path.read_bytes() == first.read_bytes()
    assert json.loads(manifest.read_text())["objects"][0]["frames"] >= 1
    ran = delineate("replay", manifest, "--input", source, cwd=tmp_path)
    assert ran.returncode == 0 and "to the last bit" in ran.stderr, ran.stderr


def test_the_printed_command_runs_the_same_model_again(scans: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    chosen = ("-m", "mobile_sam", "--untrained", "--device", "cpu", "--precision", "fp32")
    ran = delineate("segment", scans / "us.png", "--box", "80,70,180,210", *chosen, "-o", "one two.png", cwd=tmp_path)
    command = next(line for line in ran.stderr.splitlines() if line.startswith("Again: delineate "))
    again = delineate(*shlex.split(command)[2:], cwd=tmp_path)
    assert again.returncode == 0 and "to the last bit" in again.stderr, again.stderr
    given = delineate("segment", scans / "us.png", "--prompts", "one two.manifest.json", "-o", "b.png", cwd=tmp_path)
    assert given.returncode == 0 and (tmp_path / "b.png").read_bytes() == (tmp_path / "one two.png").read_bytes()


def test_the_output_lies_where_the_input_lies(scans: Path, tmp_path: Path) -> None:
    delineate("segment", scans / "ct.nii.gz", "--box", "20,15,80,85", "--frame", 3, "-o", "o.nii.gz", cwd=tmp_path)
    before, after = nib.load(scans / "ct.nii.gz"), nib.load(tmp_path / "o.nii.gz")
    assert np.array_equal(before.affine, after.affine) and before.shape == after.shape
    assert np.asarray(after.dataobj)[50, 50, 3] == 1


def test_a_mask_file_is_a_prompt(scans: Path, tmp_path: Path) -> None:
    drawn = np.zeros((256, 256), np.uint8)
    drawn[80:190, 100:160] = 255
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    ran = delineate("segment", scans / "clip", "--mask", "drawn.png", "--frame", 2, "-o", "out", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    found = np.asarray(Image.open(tmp_path / "out" / "masks" / "00002.png"))
    assert np.array_equal(found == 1, drawn > 0)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("segment", "none.png", "--box", "1,2,3,4"), 2, "E-FILE-MISSING"),
        (("segment", "{us}"), 2, "E-PROMPT-NONE"),
        (("segment", "{us}", "--box", "9,9,2,2"), 2, "Did you mean 2,2,9,9?"),
        (("segment", "{us}", "--box", "a,b,c,d"), 2, "E-PROMPT-NUMBER"),
        (("segment", "{us}", "--box", "1,2,30,40", "-o", "a.docx"), 2, "E-OUTPUT-FORMAT"),
        (("segment", "{us}", "--box", "1,2,30,40", "-m", "none"), 2, "E-MODEL-UNKNOWN"),
        (("segment", "{us}", "--prompts", "p.json", "--box", "1,2,30,40"), 2, "E-PROMPTS-TWICE"),
        (("segment", "{us}", "--nonsense"), 2, "--nonsense"),
        (("inspect", "{us}", "--pages", "wall"), 2, "E-OPTION"),
        (("systems", "none"), 2, "E-MODEL-UNKNOWN"),
        (("evaluate", "--data", "none"), 2, "none"),
    ],
    ids=lambda v: v[-1] if isinstance(v, tuple) else None,
)
def test_what_is_wrong_is_said_with_exit_code_2(
    scans: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ran = delineate(*(a.replace("{us}", str(scans / "us.png")) for a in arguments), cwd=tmp_path)
    assert ran.returncode == code
    assert says in ran.stderr and "Traceback" not in ran.stderr
    assert not list(tmp_path.iterdir())


def test_an_existing_output_is_kept_unless_told_otherwise(scans: Path, tmp_path: Path) -> None:
    command = ("segment", scans / "us.png", "--box", "80,70,180,210", "-o", "o.png")
    assert delineate(*command, cwd=tmp_path).returncode == 0
    before = (tmp_path / "o.png").stat().st_mtime_ns
    ran = delineate(*command, cwd=tmp_path)
    assert ran.returncode == 2 and "--overwrite" in ran.stderr, ran.stderr
    assert (tmp_path / "o.png").stat().st_mtime_ns == before
    assert delineate(*command, "--overwrite", cwd=tmp_path).returncode == 0
    (tmp_path / "o.png").write_text("mine")
    ran = delineate(*command, "--overwrite", cwd=tmp_path)
    assert ran.returncode == 2 and "E-OUTPUT-FOREIGN" in ran.stderr and (tmp_path / "o.png").read_text() == "mine"


def test_json_is_for_machines(scans: Path, tmp_path: Path) -> None:
    ran = delineate("segment", scans / "us.png", "--box", "80,70,180,210", "--json", cwd=tmp_path)
    told = json.loads(ran.stdout)
    assert told["manifest"]["objects"][0]["name"] == "structure" and len(told["files"]) == 3
    ran = delineate("segment", scans / "us.png", "--json", "-o", "other.png", cwd=tmp_path)
    assert json.loads(ran.stderr)["error"] == "E-PROMPT-NONE"
    assert json.loads(delineate("inspect", scans / "ct.nii.gz", "--json", cwd=tmp_path).stdout)["format"] == "NIfTI"
    assert json.loads(delineate("doctor", "--json", cwd=tmp_path).stdout)["healthy"] is True
    assert json.loads(delineate("models", "list", "--json", cwd=tmp_path).stdout)[0]["name"] == "quill"


def test_a_mask_volume_names_its_slice(scans: Path, tmp_path: Path) -> None:
    volume = nib.load(scans / "ct.nii.gz")
    drawn = np.zeros(volume.shape, np.uint8)
    drawn[30:60, 30:60, 3] = 1
    nib.save(nib.Nifti1Image(drawn, volume.affine), tmp_path / "m.nii.gz")
    for frame, says in ((99, "E-PROMPT-FRAME"), (5, "E-MASK-EMPTY")):
        ran = delineate("segment", scans / "ct.nii.gz", "--mask", "m.nii.gz", "--frame", frame, cwd=tmp_path)
        assert ran.returncode == 2 and says in ran.stderr
    ran = delineate("segment", scans / "ct.nii.gz", "--mask", "m.nii.gz", "--frame-only", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert np.array_equal(np.asarray(nib.load(tmp_path / "ct_seg.nii.gz").dataobj), drawn)


def test_inspect_is_one_screen(scans: Path, tmp_path: Path) -> None:
    ran = delineate("inspect", scans / "ct.nii.gz", cwd=tmp_path)
    assert ran.returncode == 0 and "Hounsfield" in ran.stdout and "delineate segment" in ran.stdout
    assert len(ran.stdout.splitlines()) < 25


def test_systems_lists_and_shows(tmp_path: Path) -> None:
    assert "quill" in delineate("systems", cwd=tmp_path).stdout
    assert "Apache-2.0" in delineate("systems", "quill", cwd=tmp_path).stdout


def test_interrupting_stops_cleanly(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    frame = (scans / "clip" / "0.png").read_bytes()
    for n in range(1500):
        (tmp_path / "long" / f"{n}.png").write_bytes(frame)
    command = [sys.executable, "-m", "delineate", "segment", "long", "--box", "80,70,180,210", "-o", "out"]
    running = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # background jobs ignore it
    )
    time.sleep(6)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=20)
    assert running.returncode == 130 and "Traceback" not in errors
    left = {p.name for p in tmp_path.iterdir()} - {"long"}
    assert not [name for name in left if name.endswith(".part")]
    if "out" in left:  # it had begun to follow: what was done is kept, and says that it is not all
        assert json.loads((tmp_path / "out.manifest.json").read_text())["stopped"]["code"] == "E-INTERRUPTED"


def test_a_damaged_record_is_listed_beside_the_intact_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path))
    (tmp_path / "medsam.json").write_text("{bad")
    (tmp_path / "sam_vit_b.pt").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "sam_vit_b.json").write_text(json.dumps({"file": "sam_vit_b.pt", "sha256": empty}))
    rows = {row["name"]: row for row in json.loads(delineate("models", "list", "--json", cwd=tmp_path).stdout)}
    assert "cannot be used" in rows["medsam"]["problem"] and not rows["sam_vit_b"]["problem"]
    checked = delineate("models", "verify", cwd=tmp_path)
    assert checked.returncode == 1 and "Traceback" not in checked.stderr
    assert [line.split()[:2] for line in checked.stdout.splitlines()] == [
        ["medsam", "DAMAGED"],
        ["sam_vit_b", "intact"],
    ]
