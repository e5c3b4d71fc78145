"""Names from files do nothing in a terminal, in a shell or in a header."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from delineate.core.errors import PromptError
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.core.terminal_text import command, counted, figure, printable
from warm import delineate


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("\x1b[2J\x1b]0;title\a", r"\x1b[2J\x1b]0;title\x07", id="escape-sequences"),
        pytest.param("a\rb\x08\x7f\x9b", r"a\x0db\x08\x7f\x9b", id="control"),
        pytest.param("gnp\u202egpj", r"gnp\u202egpj", id="right-to-left"),
        pytest.param("half \ud800", r"half \ud800", id="surrogate"),
        pytest.param("one\ntwo\tthree", "one\ntwo\tthree", id="lines-and-tabs-stay"),
        pytest.param("Ж é 肝 می‌خواهم 🫀", "Ж é 肝 می‌خواهم 🫀", id="letters-stay"),
    ],
)
def test_what_a_terminal_would_act_on_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("name", ["a b.png", "$(touch x).png", "b;touch x;.png", "it's.png", "`touch x`", "--help"])
def test_a_printed_command_says_the_name_and_nothing_else(name: str, tmp_path: Path) -> None:
    assert shlex.split(command("echo", name)) == ["echo", name]
    ran = subprocess.run(["bash", "-c", command("printf", "%s", name)], capture_output=True, text=True, cwd=tmp_path)
    assert ran.stdout == name and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "  ", "liver\nLabelValue:=7", "a\x1b[2J", "x\u202ey", "\ud800", "a\u2028b"])
def test_what_is_no_name_of_a_structure_is_refused(name: str) -> None:
    with pytest.raises(PromptError) as caught:
        Segmentation.empty(Scan.from_image(np.zeros((8, 8), np.uint8))).adding(name)
    assert caught.value.code == "E-LABEL-NAME" and str(caught.value).encode()


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [(0, ("scan",), "0 scans"), (1, ("scan",), "1 scan"), (2, ("scan",), "2 scans"), (1, ("pixel is", "pixels are"),
     "1 pixel is"), (7, ("pixel is", "pixels are"), "7 pixels are")],
)  # fmt: skip
def test_one_is_one_and_others_are_several(number: int, words: tuple[str, ...], said: str) -> None:
    assert counted(number, *words) == said


def test_the_command_line_prints_no_escape_sequence(tmp_path: Path) -> None:
    pixels = np.full((64, 64), 30, np.uint8)
    pixels[16:40, 16:48] = 180
    name = "f\x1b[2J[red]$(touch hacked).png"
    Image.fromarray(pixels).save(tmp_path / name)
    for words in (("inspect", name), ("segment", name, "--box", "16,16,48,40"), ("inspect", "\x1b[2Jgone.png"),
                  ("segment", name, "--box", "16,16,48,40", "-o", "b.png", "--label", "\x1b]0;x\a")):  # fmt: skip
        ran = delineate(*words, cwd=tmp_path)
        assert "\x1b" not in ran.stdout + ran.stderr and "Traceback" not in ran.stderr, ran.stderr
        assert ran.returncode in (0, 2) and "\\x1b" in ran.stdout + ran.stderr
    assert not (tmp_path / "hacked").exists() and not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    "value,decimals,sign,shown",
    [
        (12.114, 2, "", "12.11"),
        (0.0, 2, "+", "+0.00"),
        (0.01, 2, "", "0.01"),
        (0.004, 2, "", "0.004"),
        (4.5e-10, 2, "", "4.5e-10"),
        (-0.00123, 1, "+", "-0.0012"),
        (0.00123, 1, "+", "+0.0012"),
        (float("inf"), 2, "", "inf"),
        (3, 0, "", "3"),
    ],
)
def test_a_small_value_is_not_shown_as_none(value: float, decimals: int, sign: str, shown: str) -> None:
    assert figure(value, decimals, sign) == shown
