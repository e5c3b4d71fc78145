"""Prompts belong to the --label and --frame before them; an option that holds for nothing is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from delineate.cli import guard, options
from delineate.cli.groups import grouped
from delineate.cli.ordered import OrderedCommand, typed
from delineate.cli.pointing import Pointing, targets
from delineate.core.errors import PromptError
from delineate.core.prompts import Box, Lasso, Point, Scribble, Text
from delineate.verbs.targets import SegmentTarget


@pytest.fixture(autouse=True)
def streams_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "open_streams", lambda: None)


def asked(line: str) -> tuple[SegmentTarget, ...]:
    """What a line of options asks for, through the command line's own parser."""
    found: list[Any] = []
    app = typer.Typer(add_completion=False)

    @app.command(cls=OrderedCommand)
    @grouped
    def run(context: typer.Context, input: Path, pointing: Pointing, following: options.PropagationGroup) -> None:
        found.append((input, targets(typed(context), pointing, following)))

    app(args=["scan.nii.gz", *line.split()], standalone_mode=False)
    assert found[0][0] == Path("scan.nii.gz")
    return found[0][1]


def test_two_structures_on_two_frames() -> None:
    left, right = asked("--label LV --frame 3 --box 1,2,3,4 --label RV --box 5,6,7,8 --frame 9 --point 10,11")
    assert (left.name, left.prompts) == ("LV", (Box(1, 2, 3, 4, frame=3),))
    assert (right.name, right.prompts) == ("RV", (Box(5, 6, 7, 8, frame=3), Point(10, 11, frame=9)))


@pytest.mark.parametrize(
    ("line", "name", "prompts"),
    [
        pytest.param("--box 1,2,3,4 --frame 9 --label LV", "LV", (Box(1, 2, 3, 4, frame=9),), id="once, behind"),
        pytest.param("--frame 9 --box 1,2,3,4", "structure", (Box(1, 2, 3, 4, frame=9),), id="no name"),
        pytest.param(
            "--point 1,2 --neg 3,4 --frame 1 --box 0,0,9,9",
            "structure",
            (Point(1, 2, frame=1), Point(3, 4, positive=False, frame=1), Box(0, 0, 9, 9, frame=1)),
            id="in their order",
        ),
        pytest.param("--point=1,2,3 --frame=3", "structure", (Point(1, 2, 3, frame=3),), id="with equals"),
        pytest.param(
            "--scribble 1,2 3,4 5,6 --neg-scribble 7,8 9,9",
            "structure",
            (Scribble(points=((1, 2), (3, 4), (5, 6))), Scribble(points=((7, 8), (9, 9)), positive=False)),
            id="scribbles",
        ),
        pytest.param(
            "--lasso 1,2 3,4 5,6 --frame 2", "structure", (Lasso(points=((1, 2), (3, 4), (5, 6)), frame=2),), id="lasso"
        ),
        pytest.param(
            "--scribble -1.5,2,-3 4,5e1,-6 --space ras",
            "structure",
            (Scribble(points=((-1.5, 2, -3), (4, 50, -6)), space="RAS"),),
            id="millimeters",
        ),
        pytest.param(
            "--text liver --frame 4 --point 1,1",
            "structure",
            (Text("liver", frame=4), Point(1, 1, frame=4)),
            id="words",
        ),
    ],
)
def test_prompts_of_one_structure(line: str, name: str, prompts: tuple[Any, ...]) -> None:
    assert [(one.name, one.prompts) for one in asked(line)] == [(name, prompts)]


def test_a_structure_may_be_named_again() -> None:
    one, other = asked("--label a --point 1,1 --label b --point 2,2 --label a --point 3,3")
    assert (one.name, len(one.prompts), other.name, len(other.prompts)) == ("a", 2, "b", 1)


def test_masks_limits_and_labels_of_masks_belong_to_a_structure() -> None:
    a, b = asked("--label a --limit 3-9 --frame 5 --mask a.png --mask-label 2 --label b --limit 0-4 --markers m.nii")
    assert (a.mask, a.mask_label, a.frame, a.limit) == (Path("a.png"), 2, 5, (3, 9))
    assert (b.limit, b.markers, b.mask_label) == ((0, 4), Path("m.nii"), None)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        pytest.param("--label a --label b", "E-OPTION-UNUSED", "--label a", id="no prompt"),
        pytest.param("--point 1,1 --label a --point 2,2 --label b --point 1,1", "E-PROMPT-ORDER", "--label", id="o"),
        pytest.param(
            "--point 1,1 --frame 1 --point 2,2 --frame 3 --point 1,1", "E-PROMPT-ORDER", "--frame", id="frame"
        ),
        pytest.param("--frame 3", "E-OPTION-UNUSED", "--frame 3", id="frame of nothing"),
        pytest.param("--markers m.nii --frame 3", "E-OPTION-UNUSED", "--frame 3", id="frame of marks"),
        pytest.param("--limit 3-9", "E-OPTION-UNUSED", "--limit", id="limit of nothing"),
        pytest.param("--point 1,1 --limit 3,9", "E-OPTION", "FIRST-LAST", id="limit"),
        pytest.param("--point 1,1 --mask-label 3", "E-OPTION-UNUSED", "--mask-label", id="label of no mask"),
        pytest.param("--mask a --mask-label 3 --mask-label 4", "E-OPTION", "twice", id="label twice"),
        pytest.param("--mask a --mask b", "E-OPTION", "twice", id="mask twice"),
        pytest.param("--space RAS", "E-OPTION-UNUSED", "--space", id="space of nothing"),
        pytest.param("--prompts-one-by-one", "E-OPTION-UNUSED", "--prompts-one-by-one", id="way of nothing"),
        pytest.param("--mask a --mask-label nan", "E-OPTION", "number of one label", id="label that is no number"),
        pytest.param("--mask-label nan --mask a", "E-OPTION", "number of one label", id="label before its mask"),
        pytest.param("--point 1,1 --frame x", "E-OPTION", "whole number", id="no number"),
        pytest.param("--scribble 1,2 3,4,5", "E-PROMPT-LENGTH", "2 coordinates", id="mixed"),
        pytest.param("--point 1,1 --frame-only --directions both", "E-OPTION-UNUSED", "followed", id="way, frame only"),
    ],
)
def test_what_holds_for_nothing_is_an_error(line: str, code: str, says: str) -> None:
    with pytest.raises(PromptError) as caught:
        asked(line)
    assert caught.value.code == code and says in str(caught.value)


def test_a_structure_has_one_limit() -> None:
    line = "--label a --limit 3-9 --point 1,1,4 --label b --limit 0-4 --point 2,2,3 --label a --point 3,3,4"
    with pytest.raises(PromptError, match='"a" gets two limits, 3-9 and 0-4'):
        asked(line)
    one, other = asked(line.rpartition(" --label")[0])
    assert (one.limit, other.limit) == ((3, 9), (0, 4))
