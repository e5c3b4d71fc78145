"""Predictors of whole scans through the verbs, the command line, manifests, replay and evaluation, untouched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from delineate.cli import app
from delineate.core.errors import DelineateError
from delineate.core.manifest import Manifest
from delineate.core.prompts import Box
from delineate.evaluation.runner import EvaluateOptions, evaluate
from delineate.systems import SYSTEMS
from delineate.verbs.replay import ReplayRequest, replay
from delineate.verbs.request import ModelChoice, OutputChoice, RunResult
from delineate.verbs.segment import SegmentRequest, SegmentTarget, segment
from scan_predictors import ThresholdInBox, TwoThresholds, blocks

BOX = (6, 8, 4, 22, 26, 8)
MADE = {"threshold": ThresholdInBox, "two": TwoThresholds}
ASKED = {"threshold": SegmentTarget(name="block", prompts=(Box(*BOX),)), "two": SegmentTarget()}
WORDS = {"threshold": ("--box", ",".join(map(str, BOX)), "--label", "block"), "two": ()}
BOTH = pytest.mark.parametrize("name", [pytest.param("threshold", id="volume"), pytest.param("two", id="dense")])


@pytest.fixture(autouse=True)
def systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name, made in MADE.items():
        monkeypatch.setitem(SYSTEMS, name, replace(SYSTEMS["quill"], name=name, build=lambda _, made=made: made()))
    nib.save(nib.Nifti1Image(blocks(), np.diag([1.0, 1, 3, 1])), tmp_path / "scan.nii.gz")
    monkeypatch.chdir(tmp_path)
    yield


def request(name: str, output: str = "out.nii.gz", **choice: bool) -> SegmentRequest:
    return SegmentRequest(
        input=Path("scan.nii.gz"),
        model=ModelChoice(name=name),
        asked=ASKED[name],
        output=OutputChoice(path=Path(output), **choice),
    )


def labels(file: str) -> np.ndarray:
    return np.asarray(nib.load(file).dataobj)


def expected(name: str) -> np.ndarray:
    gray, bright = blocks() > 60, blocks() > 150
    if name == "two":
        return gray.astype(int) + bright
    inside = np.zeros_like(bright)
    inside[6:22, 8:26, 4:8] = True
    return (bright & inside).astype(int)


@BOTH
def test_segment_and_replay_byte_for_byte(name: str) -> None:
    result = segment(request(name))
    assert np.array_equal(labels("out.nii.gz"), expected(name))
    manifest = Manifest.read(result.manifest_file)
    assert manifest is not None and manifest.model.name == name
    assert [one.name for one in manifest.objects] == (["gray", "bright"] if name == "two" else ["block"])
    output = OutputChoice(path=Path("again.nii.gz"))
    again = replay(ReplayRequest(manifest=result.manifest_file, output=output))
    assert again.same and Path("again.nii.gz").read_bytes() == Path("out.nii.gz").read_bytes()
    assert isinstance(again.run, RunResult) and again.run.manifest.prompts == manifest.prompts


@BOTH
def test_the_command_line(name: str) -> None:
    app(["segment", "scan.nii.gz", "-m", name, *WORDS[name], "-o", "cli.nii.gz", "-q"], standalone_mode=False)
    assert np.array_equal(labels("cli.nii.gz"), expected(name))
    words = ["replay", "cli.manifest.json", "-o", "second.nii.gz"]
    app(words, standalone_mode=False)
    assert Path("second.nii.gz").read_bytes() == Path("cli.nii.gz").read_bytes()


def test_a_file_for_each_class() -> None:
    files = segment(request("two", split=True)).files
    assert {file.name for file in files if file.name.endswith(".nii.gz")} == {"out_gray.nii.gz", "out_bright.nii.gz"}
    assert np.array_equal(labels("out_bright.nii.gz") > 0, blocks() > 150)


def test_a_prompted_model_still_needs_a_prompt() -> None:
    with pytest.raises(DelineateError) as caught:
        segment(request("threshold").model_copy(update={"asked": SegmentTarget()}))
    assert caught.value.code == "E-PROMPT-NONE" and not Path("out.nii.gz").exists()


def labeled(folder: Path) -> Path:
    folder.mkdir()
    nib.save(nib.Nifti1Image(blocks(), np.diag([1.0, 1, 3, 1])), folder / "scan.nii.gz")
    truth = expected("two").astype(np.uint8)
    nib.save(nib.Nifti1Image(truth, np.diag([1.0, 1, 3, 1])), folder / "label.nii.gz")
    item = {
        "id": "blocks/1", "task": "3d", "dataset": "blocks", "modality": "CT", "image": "scan.nii.gz",
        "label": "label.nii.gz", "labels": {"1": "Gray", "2": "bright"}, "use": "test",
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps([item]))
    return folder


@pytest.mark.parametrize(
    ("protocol", "name", "least"),
    [
        pytest.param("box-3d", "threshold", (1.0, 0.0), id="3d-box"),  # brighter than 100: no gray thing
        pytest.param("volume-box", "threshold", (0.1, 0.0), id="box-on-one-slice"),
        pytest.param("classes", "two", (1.0, 1.0), id="classes-by-name"),
    ],
)
def test_evaluation(tmp_path: Path, protocol: str, name: str, least: tuple[float, float]) -> None:
    data = labeled(tmp_path / "data")
    report = evaluate(EvaluateOptions(data=data, predictors=(name,), output=tmp_path / "report", protocol=protocol))
    assert not report.failures
    dice = {one.outcome.structure: one.outcome.values["dice"] for one in report.measured}
    assert dice.keys() == {"Gray", "bright"}
    assert dice["bright"] >= least[0] and dice["Gray"] >= least[1]


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        pytest.param("box-2d", "threshold", id="frames-of-a-volume-model"),
        pytest.param("box-3d", "two", id="box-for-classes"),
        pytest.param("classes", "quill", id="classes-of-a-prompted-model"),
    ],
)
def test_a_protocol_for_other_predictors_says_so(tmp_path: Path, protocol: str, name: str) -> None:
    data = labeled(tmp_path / "data")
    report = evaluate(EvaluateOptions(data=data, predictors=(name,), output=tmp_path / "report", protocol=protocol))
    assert not report.measured and "works on" in report.failures[0].reason
