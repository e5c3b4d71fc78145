"""What Python is told and given: sessions saved as runs are, short words in notebooks, and what is no scan or file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import delineate
from bright_predictor import BrightPredictor
from delineate.core.manifest import Manifest
from delineate.verbs.replay import ReplayRequest, replay
from delineate.verbs.request import OutputChoice

PICTURE = np.zeros((48, 48), np.uint8)
PICTURE[10:30, 12:34] = 200


def test_a_saved_session_is_a_run_that_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.fromarray(PICTURE).save("a.png")
    session = delineate.Session(delineate.open_scan("a.png"))
    session.prompt(delineate.Box(12, 10, 34, 30), "disc")
    files = delineate.save_session(session, "out.png")
    assert [file.name for file in files] == ["out.png", "out.manifest.json", "out.preview.png"]
    assert all(file.exists() for file in files) and Manifest.read(Path("out.manifest.json")) is not None
    assert replay(ReplayRequest(manifest=files[1], output=OutputChoice(path=Path("again.png")))).same
    with pytest.raises(delineate.DelineateError, match="exists already"):
        delineate.save_session(session, "out.png")


def test_a_notebook_shows_a_line() -> None:
    session = delineate.Session(delineate.Scan.from_frames(np.stack([PICTURE] * 3)), BrightPredictor())
    result = session.prompt(delineate.Box(12, 10, 34, 30, frame=1), "disc")
    session.prompt(delineate.Mask.from_array(PICTURE > 0, frame=0), "drawn")
    session.propagate()
    track = session.tracks["disc"]
    shown = [session, session.scan, session.segmentation, session.segmentation["disc"], session.log, result, track]
    for one in (*shown, delineate.Mask.from_array(PICTURE > 0)):
        assert len(repr(one)) < 250 and "\n" not in repr(one), repr(one)
    assert "disc" in repr(session.log) and "quill" not in repr(session)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: delineate.open_scan(PICTURE),
        lambda: delineate.open_scan(None),
        lambda: delineate.open_scan(["a.png"]),
        lambda: delineate.open_segmentation(PICTURE),
        lambda: delineate.Session(PICTURE),
        lambda: delineate.Session("a.png"),
        lambda: delineate.Box((1, 2, 3)),
        lambda: delineate.Box("1,2,3,4"),
        lambda: delineate.Point("a", 2),
        lambda: delineate.Scribble((1, 2, 3, 4), (5, 6, 7, 8)),
        lambda: delineate.Lasso((1, 2), (3, 4)),
    ],
)
def test_what_is_not_meant_says_what_to_do(wrong: Callable[[], Any]) -> None:
    with pytest.raises(delineate.DelineateError) as caught:
        wrong()
    assert caught.value.hint and "http" not in str(caught.value)


def test_prompts_take_their_places_one_by_one_or_together() -> None:
    assert delineate.Box((1, 2, 3, 4)) == delineate.Box(1, 2, 3, 4)
    line = np.array([[1, 2], [3, 4], [9, 5]])
    for kind in (delineate.Scribble, delineate.Lasso):
        assert kind(line) == kind((1, 2), (3, 4), (9, 5)) == kind([[1, 2], [3, 4], [9, 5]])
        assert kind(line).points == kind(points=((1, 2), (3, 4), (9, 5))).points
    assert not delineate.Scribble((1, 2), positive=False).positive
