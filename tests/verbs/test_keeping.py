"""A run that is stopped keeps what it has, and goes on with exactly the rest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.core.errors import DelineateError
from delineate.core.manifest import Manifest
from delineate.core.prompts import Box
from delineate.quill.predictor import QuillPredictor
from delineate.verbs import keeping
from delineate.verbs.keeping import ENDING
from delineate.verbs.request import OutputChoice
from delineate.verbs.segment import SegmentRequest, SegmentTarget, segment

SLICES = 14
ASKED = (
    SegmentTarget(name="left", prompts=(Box(8, 10, 24, 30, frame=5),)),
    SegmentTarget(name="right", prompts=(Box(36, 10, 52, 30, frame=9),)),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two blocks that change through some slices, and a run on them that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    voxels = np.random.default_rng(0).integers(0, 60, (64, 48, SLICES)).astype(np.int16)
    for k in range(SLICES):
        voxels[10 : 20 + k // 3, 12 : 26 + k // 4, k] += 120
        voxels[38 + k // 4 : 50, 12:28, k] += 180
    nib.save(nib.Nifti1Image(voxels, np.diag([-1.0, -1.0, 3.0, 1.0])), folder / "a.nii.gz")
    segment(request(folder, folder / "o.nii.gz"))
    return folder


def request(folder: Path, out: Path, **more: object) -> SegmentRequest:
    made = SegmentRequest(input=folder / "a.nii.gz", asked=ASKED, output=OutputChoice(path=out))
    return made.model_copy(update=more)


def stops_after(frames: int):  # type: ignore[no-untyped-def]
    seen = 0

    def progress(done: int, total: int) -> None:
        nonlocal seen
        seen += 1
        if seen == frames:
            raise KeyboardInterrupt("Ctrl+C")

    return progress


def same(one: Path, other: Path) -> bool:
    """Outlines, and all that is said of them."""
    a, b = (Manifest.read(path.with_name("o.manifest.json")) for path in (one, other))
    assert a is not None and b is not None
    masks = [np.asarray(nib.load(path).dataobj) for path in (one, other)]
    return bool((masks[0] == masks[1]).all()) and a.objects == b.objects and a.prompts.events == b.prompts.events


@pytest.mark.parametrize("stops", [(1,), (6,), (12,), (4, 9)], ids=str)
def test_a_stopped_run_goes_on_with_exactly_the_rest(
    whole: Path, tmp_path: Path, stops: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.nii.gz"
    for n, frames in enumerate(stops):
        done = segment(request(whole, out, resume=n > 0), stops_after(frames))
        assert done.manifest.stopped is not None and done.manifest.stopped.code == "E-INTERRUPTED"
        assert "--resume" in done.manifest.stopped.hint and out.exists() and (tmp_path / f"o{ENDING}").exists()
    calls = 0
    follow = QuillPredictor.follow

    def counted(self: QuillPredictor, *given: object) -> object:
        nonlocal calls
        calls += 1
        return follow(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(QuillPredictor, "follow", counted)
    segment(request(whole, out, resume=True))
    assert same(whole / "o.nii.gz", out) and not (tmp_path / f"o{ENDING}").exists()
    assert calls <= 2 * (2 * SLICES - stops[-1]), "frames of the stopped run are not followed again"


def test_the_result_so_far_is_on_disk_while_it_runs(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping.Keeper.__init__, "__defaults__", (2,))
    monkeypatch.setattr(keeping, "SHARE", 1e9)
    found = []

    def look(done: int, total: int) -> None:
        record = tmp_path / "o.manifest.json"
        if record.exists():
            stopped = json.loads(record.read_bytes())["stopped"]
            found.append((stopped["code"], np.asarray(nib.load(tmp_path / "o.nii.gz").dataobj).any()))

    segment(request(whole, tmp_path / "o.nii.gz"), look)
    assert len(found) > 4 and set(found) == {("E-UNFINISHED", True)}
    assert same(whole / "o.nii.gz", tmp_path / "o.nii.gz")
    assert not list(tmp_path.glob(".delineate*"))


@pytest.mark.parametrize(
    ("more", "code"),
    [
        pytest.param({"asked": ASKED[:1]}, "E-RESUME-OTHER", id="other prompts"),
        pytest.param({"resume": False}, "E-OUTPUT-EXISTS", id="not resumed"),
    ],
)
def test_only_the_same_run_goes_on(whole: Path, tmp_path: Path, more: dict[str, object], code: str) -> None:
    segment(request(whole, tmp_path / "o.nii.gz"), stops_after(2))
    before = (tmp_path / "o.nii.gz").read_bytes()
    with pytest.raises(DelineateError) as caught:
        segment(request(whole, tmp_path / "o.nii.gz", **({"resume": True} | more)))
    assert caught.value.code == code and (tmp_path / "o.nii.gz").read_bytes() == before


@pytest.mark.parametrize("fields", ["the same", "others"])
def test_a_run_that_another_version_stopped_is_told(whole: Path, tmp_path: Path, fields: str) -> None:
    segment(request(whole, tmp_path / "o.nii.gz"), stops_after(2))
    kept = tmp_path / f"o{ENDING}"
    record = json.loads(kept.read_bytes()) | {"software": "delineate 0.1.0"}
    kept.write_text(json.dumps(record | ({} if fields == "the same" else {"log": 1, "clock": 2})))
    with pytest.raises(DelineateError, match=r"A run of delineate 0\.1\.0 was stopped here, and this is") as caught:
        segment(request(whole, tmp_path / "o.nii.gz", resume=True))
    assert caught.value.code == "E-RESUME-OTHER" and "--overwrite" in caught.value.hint and kept.exists()


def test_without_a_stopped_run_there_is_nothing_to_go_on_with(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(DelineateError) as caught:
        segment(request(whole, tmp_path / "o.nii.gz", resume=True))
    assert caught.value.code == "E-RESUME-NONE" and not list(tmp_path.iterdir())


SLOWLY = """
import time
from delineate.cli import main
from delineate.verbs import keeping

keeping.Keeper.__init__.__defaults__, keeping.SHARE = (2,), 1e9
tick = keeping.Keeper.tick
keeping.Keeper.tick = lambda keeper, *done: (tick(keeper, *done), time.sleep(0.3))
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_a_signal_to_a_real_run(whole: Path, tmp_path: Path, number: int, code: int) -> None:
    """It says what was kept and how to go on; the rest then gives what a run gives that nobody stopped."""
    prompts = "--label left --frame 5 --box 8,10,24,30 --label right --frame 9 --box 36,10,52,30"
    words = ["segment", str(whole / "a.nii.gz"), *prompts.split(), "-o", "o.nii.gz"]
    run = subprocess.Popen([sys.executable, "-c", SLOWLY, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / f"o{ENDING}").exists() and run.poll() is None:
        time.sleep(0.02)
    run.send_signal(number)
    said = run.communicate(timeout=240)[1]
    assert run.returncode == code, said
    assert "is kept" in said and "--resume" in said and (tmp_path / "o.nii.gz").exists()
    again = [sys.executable, "-m", "delineate", *words, "--resume"]
    rest = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert rest.returncode == 0, rest.stderr
    assert same(whole / "o.nii.gz", tmp_path / "o.nii.gz")
