"""Whatever stops a run is one sentence with a code; streams that are closed, full or of few letters stop none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from pydantic import ValidationError

from delineate.cli import guard
from delineate.core.errors import DelineateError, InputError, UnforeseenError, foreseen, guarded
from delineate.verbs.serve import ServeRequest


@pytest.fixture(autouse=True)
def streams_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "open_streams", lambda: None)


def verb_that_raises(error: BaseException) -> Callable[..., int]:
    def app(**_: object) -> int:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        pytest.param(TypeError("a must be\nreal"), "E-UNFORESEEN", "TypeError: a must be real", id="type"),
        pytest.param(AssertionError(), "E-UNFORESEEN", "(AssertionError)", id="without-words"),
        pytest.param(ValueError("x" * 100_000), "E-UNFORESEEN", "ValueError: xxxx", id="endless-words"),
        pytest.param(MemoryError("Unable to allocate 1.8 PiB"), "E-MEMORY", "1.8 PiB", id="memory"),
        pytest.param(RecursionError("maximum depth"), "E-NESTED", "nested", id="nested"),
        pytest.param(PermissionError(13, "Permission denied", "f/1.png"), "E-SYSTEM", "f/1.png: Perm", id="system"),
        pytest.param(ValueError("\x1b[2J"), "E-UNFORESEEN", "\\x1b[2J", id="terminal-sequence"),
    ],
)
def test_what_nobody_foresaw_is_a_sentence(
    error: Exception, code: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guard.run(verb_that_raises(error), ["inspect", "odd file.tif", "--index", "1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Error [{code}]: delineate inspect 'odd file.tif': ") and words in said
    assert "Traceback" not in said and len(said) < 700


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(InputError("E-X", "It is bad.", "Mend it."), 2, id="foreseen"),
        pytest.param(KeyboardInterrupt(), 130, id="interrupted"),
        pytest.param(typer.Abort(), 130, id="aborted"),
        pytest.param(BrokenPipeError(), 0, id="reader-had-enough"),
        pytest.param(SystemExit(3), 3, id="exit"),
    ],
)
def test_every_end_has_its_exit_code(error: BaseException, code: int) -> None:
    assert guard.run(verb_that_raises(error), ["inspect"]) == code


def test_an_option_that_no_request_takes_is_named() -> None:
    with pytest.raises(ValidationError) as wrong:
        ServeRequest(port=-1)
    told = guard.in_words(wrong.value, "delineate serve")
    assert told.code == "E-REQUEST" and "port" in told.message and "0" in told.message


@pytest.mark.parametrize("error", [KeyError("gone"), InputError("E-X", "It is bad.")], ids=["unforeseen", "foreseen"])
def test_debug_shows_where(error: Exception, tmp_path: Path) -> None:
    program = f"""
from delineate.cli import guard
from delineate.core.errors import InputError
def app(**_): raise {error.__class__.__name__}('E-X', 'It is bad.')
raise SystemExit(guard.run(app, ['inspect', '--debug']))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("Traceback") == 1 and "in app" in done.stderr


def test_json_asks_for_errors_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    guard.run(verb_that_raises(KeyError("gone")), ["inspect", "--json"])
    assert capsys.readouterr().err.startswith('{"error": "E-UNFORESEEN"')


def test_the_library_names_what_it_was_doing() -> None:
    with pytest.raises(UnforeseenError, match=r"case 7: this went wrong.*KeyError") as caught, guarded("case 7"):
        raise KeyError("gone")
    assert isinstance(caught.value.__cause__, KeyError)
    told = InputError("E-X", "It is bad.")
    with pytest.raises(InputError) as kept, guarded("case 7"):
        raise told
    assert kept.value is told is foreseen(told) and isinstance(foreseen(KeyError()), DelineateError)


SEGMENT = ("segment", "a.png", "--box", "16,16,48,40", "--label", "żołądek", "-o", "o.png")


@pytest.mark.parametrize(
    ("words", "streams", "code", "written"),
    [
        pytest.param(SEGMENT, ">&-", 0, True, id="stdout-closed"),
        pytest.param(SEGMENT, "2>&-", 0, True, id="stderr-closed"),
        pytest.param(SEGMENT, "2>/dev/full", 0, True, id="stderr-full"),
        pytest.param(SEGMENT, ">/dev/full", 2, True, id="stdout-full"),
        pytest.param(("inspect", "a.png"), ">/dev/full", 2, False, id="inspect-stdout-full"),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_streams_that_take_nothing_stop_no_work(
    words: tuple[str, ...], streams: str, code: int, written: bool, tmp_path: Path
) -> None:
    picture(tmp_path / "a.png")
    line = f'exec "$0" -m delineate "$@" {streams}'
    done = subprocess.run(["sh", "-c", line, sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code and "Traceback" not in done.stderr
    assert (tmp_path / "o.preview.png").exists() is written


@pytest.mark.parametrize(
    "words", [("inspect", "a.png"), SEGMENT, (*SEGMENT, "--json")], ids=["inspect", "text", "json"]
)
def test_a_terminal_of_few_letters_gets_the_others_escaped(words: tuple[str, ...], tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    few = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-m", "delineate", *words], cwd=tmp_path, capture_output=True, env=few)
    assert done.returncode == 0, done.stderr
    assert words[0] == "inspect" or rb"\u017co" in done.stdout


def picture(path: Path) -> None:
    pixels = np.full((64, 64), 30, np.uint8)
    pixels[16:40, 16:48] = np.arange(32) + 150
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("words", [["models", "list"], ["--debug", "systems"], ["train", "recipes"]], ids=" ".join)
def test_every_verb_can_show_where(words: list[str]) -> None:
    def app_that_takes(args: list[str], **_: object) -> int:
        assert args == [word for word in words if word != "--debug"]
        return 0

    assert guard.run(app_that_takes, [*words, "--debug"]) == 0
