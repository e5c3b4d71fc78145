"""What every verb has in common on the command line."""

from __future__ import annotations

import pytest

from delineate import __version__
from delineate.cli import app, guard


@pytest.fixture(autouse=True)
def streams_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "open_streams", lambda: None)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        pytest.param(["segment", "a.nii", "--film", "--variant", "a", "--variant", "b"], "--variant", id="segment"),
        pytest.param(["segment", "a.nii", "-o", "x", "--output", "y"], "--output", id="two-spellings"),
        pytest.param(["segment", "a.nii", "--space=RAS", "--space", "LPS"], "--space", id="with-equals"),
        pytest.param(["segment", "a.nii", "--prompts", "a.json", "--prompts", "b.json"], "--prompts", id="prompts"),
        pytest.param(["inspect", "a.nii", "--axis", "i", "--axis", "j"], "--axis", id="inspect"),
        pytest.param(["auto", "a.png", "--tile", "1", "--tile", "2"], "--tile", id="auto"),
        pytest.param(["evaluate", "--data", "a", "--data", "b"], "--data", id="evaluate"),
        pytest.param(["replay", "m.json", "-o", "a", "-o", "b"], "--output", id="replay"),
        pytest.param(["models", "import", "a", "--system", "x", "--system", "y"], "--system", id="models"),
        pytest.param(["dataset", "shard", "a", "-o", "b", "-o", "c"], "--output", id="dataset"),
        pytest.param(["train", "finetune", "a", "--steps", "1", "--steps", "2"], "--steps", id="train"),
        pytest.param(["distill", "a", "--seed", "1", "--seed", "2"], "--seed", id="distill"),
        pytest.param(["bench", "--budget", "1", "--budget", "2"], "--budget", id="group"),
        pytest.param(["bench", "reproduce", "--data", "a", "--data", "b"], "--data", id="bench"),
    ],
)
def test_an_option_of_one_value_is_given_once(
    words: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guard.run(app, words) == 2
    assert f"{option} was given 2 times" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--box", "1,1,9,9", "--box", "2,2,8,8"], ["-q", "-q"]], ids=["several", "flag"])
def test_others_may_come_several_times(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    guard.run(app, ["segment", "nowhere.png", *more])
    assert "E-FILE-MISSING" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-h"], ["segment", "-h"], ["models", "list", "-h"], ["bench", "-h"]], ids=" ".join)
def test_h_helps(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.run(app, words) == 0 and "Usage:" in capsys.readouterr().out


def test_the_version_is_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.run(app, ["--version"]) == 0 and capsys.readouterr().out == f"delineate {__version__}\n"
