"""What every verb has in common on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from delineate import __version__
from delineate.cli import app, guard
from delineate.core.errors import InputError


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
    assert guard.run(app, words) == 0
    said = capsys.readouterr().out
    assert "Usage:" in said and "list[" not in said


def test_the_version_is_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.run(app, ["--version"]) == 0 and capsys.readouterr().out == f"delineate {__version__}\n"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        pytest.param(["segment", "", "--box", "1,1,9,9"], "input", id="segment"),
        pytest.param(["inspect", ""], "input", id="inspect"),
        pytest.param(["inspect", "a.nii", "--picture="], "--picture", id="option"),
        pytest.param(["segment", "a.png", "--label", "liver", "--mask", ""], "--mask", id="one of several"),
        pytest.param(["batch", "a.png", "", "-o", "x"], "inputs", id="second of two"),
        pytest.param(["clean", "", "--largest"], "input", id="clean"),
        pytest.param(["compare", "a.nii", ""], "second", id="compare"),
        pytest.param(["dataset", "check", ""], "folder", id="dataset"),
        pytest.param(["replay", ""], "manifest", id="replay"),
        pytest.param(["train", "finetune", "a", "-o", ""], "--output", id="train"),
        pytest.param(["bench", "reproduce", "--data", ""], "--data", id="bench"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guard.run(app, words) == 2
    assert f"[E-OPTION-EMPTY]: {named} is an empty text." in capsys.readouterr().err


def test_every_verb_refuses_an_empty_word() -> None:
    def commands(group: Any) -> Iterator[Any]:
        for one in getattr(group, "commands", {}).values():
            yield one
            yield from commands(one)

    found = list(commands(get_command(app)))
    for one in found:
        for parameter in one.params:
            if not getattr(parameter, "is_flag", False):
                words = ["" if parameter.param_type_name == "argument" else f"{parameter.opts[0]}="]
                with pytest.raises(InputError, match="is an empty text"):
                    one.make_context("delineate", words)
    assert len(found) > 30
