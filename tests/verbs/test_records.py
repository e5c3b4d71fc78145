"""Evaluations and trainings keep their request, and are repeated from it; what earlier releases wrote still opens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from delineate.cli import app
from delineate.core.errors import DelineateError
from delineate.verbs.evaluate import EvaluateRequest, EvaluateResult, evaluate
from delineate.verbs.records import RequestRecord
from delineate.verbs.replay import ReplayRequest, replay
from delineate.verbs.request import OutputChoice
from training_discs import discs


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    discs(tmp_path / "study" / "data", 4, side=64)
    return tmp_path / "study" / "data"


@pytest.fixture
def evaluation(data: Path) -> Path:
    """The numbers of an evaluation."""
    evaluate(EvaluateRequest(data=data, predictors=("ellipse",), limit=2, seed=3, output=Path("first")))
    return Path("first/box-2d.json")


def test_an_evaluation_is_repeated_from_its_numbers(evaluation: Path, data: Path) -> None:
    record = RequestRecord.read(evaluation)
    assert record is not None and record.verb == "evaluate" and record.request["seed"] == 3
    assert str(data.parent) not in evaluation.read_text()
    done = replay(ReplayRequest(manifest=evaluation, input=data))
    assert isinstance(done.run, EvaluateResult) and done.same is True and done.libraries == ()
    assert done.run.page == Path("again_first/box-2d.html") and done.run.report.seed == 3


def test_numbers_that_differ_are_seen(evaluation: Path, data: Path) -> None:
    content = json.loads(evaluation.read_text())
    content["structures"][0]["values"]["dice"] += 0.001
    evaluation.write_text(json.dumps(content))
    with pytest.raises(SystemExit) as caught:
        app(["replay", str(evaluation), "--input", str(data), "-o", "second", "-q"], standalone_mode=True)
    assert caught.value.code == 1
    assert replay(ReplayRequest(manifest=evaluation, input=data)).same is False


def changed(record: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"run": record["run"] | values}


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        pytest.param(lambda r: {"format": "delineate-evaluation/1"}, "E-MANIFEST", "no manifest", id="earlier-release"),
        pytest.param(lambda r: {"run": None}, "E-MANIFEST", "no manifest", id="empty-record"),
        pytest.param(lambda r: [r], "E-MANIFEST", "no manifest", id="list"),
        pytest.param(lambda r: r, "E-REPLAY-FILE", "--input", id="data-elsewhere"),
        pytest.param(lambda r: changed(r, software="delineate 0.0.1"), "E-REPLAY-DIFFERS", "0.0.1", id="software"),
        pytest.param(lambda r: changed(r, verb="demo"), "E-REQUEST", "demo", id="other-verb"),
        *(
            pytest.param(
                lambda r, said={"data": None, field: value}: changed(r, request=r["run"]["request"] | said),
                "E-REQUEST", "plain file name", id=f"{field}-{name}",
            )
            for field, value, name in (
                ("data", "/etc", "absolute"),
                ("data", "../study", "above"),
                ("output", "../evil", "above"),
                ("output", "..\\evil", "backslash"),
                ("predictors", ["../a.onnx"], "above"),
                ("predictors", ["medsam=/tmp/a.pt"], "absolute"),
            )
        ),
        pytest.param(lambda r: changed(r, request=3), "E-REQUEST", "request", id="damaged"),
        pytest.param(
            lambda r: changed(r, request=r["run"]["request"] | {"data": None, "limt": 3}),
            "E-REQUEST", "limt", id="field",
        ),
        pytest.param(
            lambda r: changed(r, request=r["run"]["request"] | {"data": None, "predictors": ["mine/a.onnx"]}),
            "E-REPLAY-FILE", "mine/a.onnx", id="model-gone",
        ),
    ],
)  # fmt: skip
def test_what_keeps_a_run_from_being_repeated_is_said(evaluation: Path, change: Any, code: str, says: str) -> None:
    evaluation.write_text(json.dumps(change(json.loads(evaluation.read_text()))))
    with pytest.raises(DelineateError) as caught:
        replay(ReplayRequest(manifest=evaluation, output=OutputChoice(path=Path("again"))))
    assert caught.value.code == code and says in str(caught.value)
    assert not Path("again").exists()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``tiny_sam`` by name."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from delineate.systems import SYSTEMS
    from training_discs import tiny_predictor

    def built(options: Any) -> Any:
        return replace(tiny_predictor(side=128), record=replace_name(tiny_predictor(side=128).record))

    def replace_name(record: Any) -> Any:
        return record.model_copy(update={"name": "tiny_sam"})

    monkeypatch.setitem(SYSTEMS, "tiny_sam", replace(SYSTEMS["sam_vit_b"], name="tiny_sam", build=built))
    yield


WORDS = {
    "train finetune": ("train", "finetune", "{data}", "-m", "tiny_sam", "--recipe", "quick"),
    "distill": ("distill", "{data}", "--teacher", "tiny_sam", "--student", "tiny_sam"),
}


@pytest.mark.parametrize("verb", WORDS)
def test_a_training_keeps_its_request_and_is_repeated(
    verb: str, data: Path, tiny: None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.format(data=data) for word in WORDS[verb]]
    app([*words, "--steps", "2", "--every", "1", "--batch", "1", "-o", "mine", "--json"], standalone_mode=False)
    first = json.loads(capsys.readouterr().out)
    text = Path("mine/request.json").read_text()
    record = RequestRecord.read(Path("mine/request.json"))
    assert record is not None and record.verb == verb and record.request["steps"] == 2
    assert record.request["data"] == "data" and str(data.parent) not in text
    app(["replay", "mine/request.json", "--input", str(data), "--json"], standalone_mode=False)
    again = json.loads(capsys.readouterr().out)
    assert again["before"] == first["before"] and Path("again_mine/request.json").is_file()
    assert {k: v for k, v in again.items() if k != "weights"} == {k: v for k, v in first.items() if k != "weights"}


def test_a_run_that_is_refused_leaves_no_record(data: Path, tiny: None) -> None:
    with pytest.raises(DelineateError):
        app(["train", "finetune", str(data), "-m", "tiny_sam", "--recipe", "none", "-o", "mine"], standalone_mode=False)
    assert not Path("mine").exists()
