"""Scans that a model learned from are known by what is in them, and not measured on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from delineate.checkpoints.store import import_checkpoint
from delineate.core.errors import InputError, ModelError
from delineate.data.cases import Case
from delineate.data.confined import ANYWHERE
from delineate.data.layouts import read_dataset
from delineate.data.learned_from import (
    LEARNED_FROM,
    LearningRecord,
    content_of,
    keep_with_export,
    keep_with_import,
    learned_by,
    was_learned,
)
from delineate.evaluation.runner import EvaluateOptions, unlearned
from small_data_sets import challenge, coco, endovis17, folders, vos


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for n in range(4):
        Image.fromarray(rng.integers(0, 255, (32, 32), np.uint8)).save(tmp_path / "data" / "images" / f"{n}.png")
        Image.fromarray(np.eye(32, dtype=np.uint8)).save(tmp_path / "data" / "masks" / f"{n}.png")
    return read_dataset(tmp_path / "data")[1]


def test_what_a_run_learned_from_is_left_out_wherever_it_lies(cases: list[Case], tmp_path: Path) -> None:
    run = tmp_path / "mine"
    run.mkdir()
    LearningRecord.of(cases[:3], cases[3:]).write(run)
    (run / "best.safetensors").write_bytes(b"")
    copied = tmp_path / "elsewhere.png"
    copied.write_bytes(cases[0].image.read_bytes())
    moved = replace(cases[0], id="another name", image=copied, home=ANYWHERE)
    options = EvaluateOptions(predictors=(f"lite_medsam={run / 'best.safetensors'}",), data=tmp_path / "data")
    assert unlearned([*cases, moved], options) == ([cases[3]], 4)
    assert unlearned(cases, replace(options, with_training=True)) == (cases, 0)
    assert unlearned(cases, replace(options, predictors=("lite_medsam",), limit=2)) == (cases[:2], 0)
    with pytest.raises(InputError, match="learned from all there is: 3 cases"):
        unlearned(cases[:3], options)


def test_no_scan_is_named_and_files_that_do_are_still_read(cases: list[Case], tmp_path: Path) -> None:
    run = tmp_path / "mine"
    run.mkdir()
    (run / "best.safetensors").write_bytes(b"")
    named = [replace(case, id=f"JANE_{n}", subject="JANE") for n, case in enumerate(cases)]
    LearningRecord.of(named[:3], named[3:]).write(run)
    text = (run / LEARNED_FROM).read_text()
    said = json.loads(text)
    assert "JANE" not in text and "data" not in text
    assert said["learned"] == sorted(content_of(case) for case in cases[:3]) and said["held_out"] == 1
    found = learned_by([str(run / "best.safetensors")])
    before = {"learned": {case.id: content_of(case) for case in named[:3]}, "held_out": [named[3].id]}
    (run / LEARNED_FROM).write_text(json.dumps({"format": "delineate-learned-from/1"} | before))
    assert learned_by([str(run / "best.safetensors")]) == found == {content_of(case) for case in cases[:3]}


def test_folders_and_stages(cases: list[Case], tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "0.png").write_bytes(b"one")
    clip = replace(cases[0], image=folder, home=ANYWHERE)
    before = content_of(clip)
    (folder / "1.png").write_bytes(b"two")
    assert content_of(clip) != before != content_of(cases[0])
    LearningRecord.of([clip], []).write(tmp_path)
    (tmp_path / "stage2").mkdir()
    (tmp_path / "stage2" / "best.safetensors").write_bytes(b"")
    assert learned_by([str(tmp_path / "stage2" / "best.safetensors"), "quill"]) == {content_of(clip)}


def _as_version_0_1(case: Case) -> str:
    """A fingerprint as runs wrote it before contents were hashed."""
    if case.image.is_dir():
        text = "".join(f"{path.name} {path.stat().st_size}\n" for path in sorted(case.image.iterdir()))
        return hashlib.sha256(text.encode()).hexdigest()
    if case.reader is None:
        return hashlib.sha256(case.image.read_bytes()).hexdigest()
    return hashlib.sha256(f"{case.dataset} {case.id}".encode()).hexdigest()


@pytest.mark.parametrize("make", [folders, vos, coco, challenge, endovis17])
def test_what_runs_of_earlier_versions_learned_from_is_left_out(make: Callable, tmp_path: Path) -> None:
    make(tmp_path / "data")
    case = read_dataset(tmp_path / "data")[1][0]
    (tmp_path / "best.safetensors").write_bytes(b"")
    said = {"format": "delineate-learned-from/1", "learned": {case.id: _as_version_0_1(case)}, "held_out": []}
    (tmp_path / LEARNED_FROM).write_text(json.dumps(said))
    learned = learned_by([str(tmp_path / "best.safetensors")])
    assert was_learned(case, learned)
    edited = next(path for path in [*case.image.glob("*"), case.image] if path.is_file())
    content = bytearray(edited.read_bytes())
    content[-1] ^= 1
    now = content_of(case)
    edited.write_bytes(bytes(content))
    assert content_of(case) != now and not was_learned(case, {now})


def test_a_case_that_cannot_be_read_was_not_learned(cases: list[Case]) -> None:
    outside = replace(cases[0], image=cases[0].image.parent.parent.parent / "scan.png")
    assert not was_learned(outside, {content_of(cases[0])})


def test_what_a_run_began_from_is_not_forgotten(cases: list[Case], tmp_path: Path) -> None:
    files = [tmp_path / name / "best.safetensors" for name in ("first", "second")]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(b"")
    LearningRecord.of(cases[:1], []).write(files[0].parent)
    LearningRecord.of(cases[1:2], [], [f"lite_medsam={files[0]}", "quill"]).write(files[1].parent)
    assert learned_by([str(files[1])]) == {content_of(case) for case in cases[:2]}


def test_what_copies_of_weights_learned_from_is_known(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELINEATE_MODELS", str(tmp_path / "store"))
    mine, exported = tmp_path / "mine" / "best.safetensors", tmp_path / "exported"
    exported.mkdir()
    mine.parent.mkdir()
    mine.write_bytes(b"trained")
    LearningRecord.of(cases[:3], cases[3:]).write(mine.parent)
    learned = frozenset(content_of(case) for case in cases[:3])
    import_checkpoint("lite_medsam", mine)
    keep_with_import("lite_medsam", mine)
    keep_with_export("lite_medsam", exported)
    for name in ("lite_medsam", "lite_medsam:interactive", "quill+lite_medsam", f"lite_medsam={exported}"):
        assert learned_by([name]) == learned, name
    assert learned_by(["quill", "ellipse", "medsam"]) == frozenset()
    mine.with_name("other.pth").write_bytes(b"published")
    import_checkpoint("lite_medsam", mine.with_name("other.pth"))
    assert learned_by(["lite_medsam"]) == frozenset()


def test_a_scan_that_cannot_be_read_teaches_nothing(cases: list[Case]) -> None:
    outside = replace(cases[0], image=cases[0].image.parent.parent.parent / "scan.png")
    assert LearningRecord.of([outside, cases[1]], []).learned == {content_of(cases[1])}


def test_a_run_goes_on_with_the_scans_it_began_with(cases: list[Case], tmp_path: Path) -> None:
    LearningRecord.of(cases[:3], cases[3:]).require_same(tmp_path)  # an earlier version's run says nothing
    LearningRecord.of(cases[:3], cases[3:]).write(tmp_path)
    LearningRecord.of(cases[2::-1], cases[3:]).require_same(tmp_path)
    for learned, held in ((cases[1:], cases[:1]), (cases[:3], []), (cases[:2], cases[3:])):
        with pytest.raises(ModelError, match="divides its scans otherwise") as caught:
            LearningRecord.of(learned, held).require_same(tmp_path)
        assert caught.value.code == "E-TRAIN-RESUME"
