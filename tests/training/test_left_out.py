"""One scan of a data set that cannot be read stops no training: it is reported, and left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from delineate.core.errors import DelineateWarning, InputError
from delineate.core.scan import Pixels, Scan
from delineate.data.cases import Case, OpenedFiles, Task, Use
from delineate.preprocess.profiles import SAM_MED2D
from delineate.quill.train.finetune import LabeledFrameReader as QuillPictures
from delineate.training.distill import DistillationFrames
from delineate.training.frames import FrameOptions, LabeledFrames
from delineate.training.sequences import SequenceOptions, SequenceSource, drawn_from, split_sources
from training_discs import tiny_predictor

FRAMES, SIDE, CASES = 6, 48, 4
PATH = Path("nowhere")


class Frames:
    """Frames of a video; one of them cannot be read."""

    dtype = np.dtype(np.uint8)
    shape = (FRAMES, SIDE, SIDE)

    def __init__(self, bad: int | None, error: Exception) -> None:
        self.bad, self.error = bad, error

    def read(self, index: int) -> Pixels:
        if index == self.bad or self.bad == -1:
            raise self.error
        return np.full((SIDE, SIDE), 60 + index, np.uint8)


def reader(bad_case: str, where: str, error: Exception) -> Any:
    """A reader of which one case cannot be opened, has no readable frame, or no readable labels."""

    def read(case: Case) -> OpenedFiles:
        bad = case.id == bad_case or bad_case == "all"
        if bad and where == "opening":
            raise error
        labels = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
        labels[:, 10:30, 12:34] = 1
        scan = Scan.from_frames(Frames(-1 if bad and where == "frames" else None, error))
        return OpenedFiles(scan, Scan.from_frames(Frames(-1, error) if bad and where == "labels" else labels))

    return read


def cases(bad_case: str = "case1", where: str = "opening", error: Exception | None = None) -> list[Case]:
    read = reader(bad_case, where, error or InputError("E-FILE-DAMAGED", "It is damaged."))
    return [
        Case(f"case{n}", "d", "video", Task.VIDEO, PATH, PATH, {1: "x"}, Use.TRAIN, subject=str(n), reader=read)
        for n in range(CASES)
    ]


@pytest.fixture(autouse=True)
def nothing_to_confine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Case, "files", lambda self: [])


WHERE = [
    pytest.param("opening", InputError("E-FILE-DAMAGED", "It is damaged."), "It is damaged.", id="damaged"),
    pytest.param("opening", KeyError("gone"), "KeyError", id="unforeseen"),
    pytest.param("frames", OSError(5, "Input/output error"), "Input/output error", id="frame"),
    pytest.param("labels", ValueError("bad label"), "bad label", id="labels"),
]


@pytest.mark.parametrize(("where", "error", "words"), WHERE)
def test_frames_go_on_with_the_others(where: str, error: Exception, words: str) -> None:
    frames = LabeledFrames(tiny_predictor(), cases("case1", where, error), FrameOptions(slices=2))
    with pytest.warns(DelineateWarning, match="case1 cannot be read and is left out") as told:
        found = list(frames)
    assert len(found) == 2 * (CASES - 1) and words in str(told[0].message)
    assert all(frames[place] is not None for place in range(len(frames)))


@pytest.mark.parametrize(("where", "error", "words"), [w for w in WHERE if w.id != "labels"])
def test_pictures_to_distill_go_on_with_the_others(where: str, error: Exception, words: str) -> None:
    pictures = DistillationFrames(cases("case1", where, error), 3)
    with pytest.warns(DelineateWarning, match=f"(?s)case1 .*{words}"):
        drawn = [pictures[place] for place in range(len(pictures))]
    assert len(drawn) == 3 * CASES and len(list(pictures)) == 3 * (CASES - 1)


@pytest.mark.parametrize(("where", "error", "words"), WHERE)
def test_clips_go_on_with_the_others(where: str, error: Exception, words: str) -> None:
    training, _ = split_sources(cases("case1", where, error), 0.25, 1)
    sources = [*training, SequenceSource(cases("case1", where, error)[1], 9)]
    rng = np.random.default_rng(0)
    with pytest.warns(DelineateWarning, match=f"(?s)case1 .*{words}"):
        for first in range(len(sources)):
            clip = drawn_from(sources, first, lambda source: source.drawn(rng, SequenceOptions(frames=2), SAM_MED2D))
            assert clip.truth.any()


@pytest.mark.parametrize(("where", "error", "words"), WHERE)
def test_quills_pictures_go_on_with_the_others(where: str, error: Exception, words: str) -> None:
    sources = [SequenceSource(case, n) for n, case in enumerate(cases("case1", where, error))]
    pictures = QuillPictures(sources, 2)
    with pytest.warns(DelineateWarning, match=f"(?s)case1 .*{words}"):
        assert len(list(pictures.structures())) == 2 * (CASES - 1)
    rng = np.random.default_rng(0)
    assert all(pictures.drawn(rng).labels.any() for _ in range(8))


def all_of(what: str) -> Iterator[Any]:
    bad = cases("all")
    if what == "frames":
        yield from LabeledFrames(tiny_predictor(), bad, FrameOptions())
    elif what == "pictures":
        yield from DistillationFrames(bad, 2)
    else:
        yield from QuillPictures([SequenceSource(case, n) for n, case in enumerate(bad)], 2).structures()


@pytest.mark.filterwarnings("ignore::delineate.core.errors.DelineateWarning")
@pytest.mark.parametrize("what", ["frames", "pictures", "quill"])
def test_where_none_can_be_read_that_is_said(what: str) -> None:
    with pytest.raises(InputError) as caught:
        list(all_of(what))
    assert caught.value.code == "E-TRAIN-EMPTY" and caught.value.hint
