"""Prompts given together are one query; those given later correct. Both are recorded, undone and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bright_predictor import BrightPredictor
from tiny_networks import moving_frames, tiny_sam, tiny_sam2

pytest.importorskip("transformers")

from delineate.compute.engine import Engine, Precision
from delineate.core.errors import PromptError
from delineate.core.manifest import ModelRecord
from delineate.core.prompt_log import AddPrompt, AddPrompts, PromptLog
from delineate.core.prompts import Box, Lasso, Mask, Point, Prompt
from delineate.core.resolve import FramePrompts
from delineate.core.rle import Rle
from delineate.core.scan import Scan
from delineate.predictors.frame_predictor import FramePredictor, Query
from delineate.predictors.sam import SamPredictor
from delineate.predictors.sam2 import Sam2Predictor
from delineate.predictors.sam_behavior import SamBehavior
from delineate.preprocess.profiles import SAM_MED2D
from delineate.session import Session
from delineate.systems import shipped_predictor
from delineate.verbs.replay import ReplayRequest, replay
from delineate.verbs.request import OutputChoice
from delineate.verbs.segment import SegmentRequest, SegmentTarget, segment

CPU = Engine(torch.device("cpu"), Precision.FP32)
RECORD = ModelRecord(name="tiny", version="test", sha256="", license="")
PICTURE = moving_frames(1, 120)[0]
BOX = (30.0, 35.0, 80.0, 88.0)
POINTS = ((60, 60, True), (70, 50, True), (8, 110, False))
DRAWN = np.zeros((120, 120), bool)
DRAWN[40:70, 45:90] = True


@pytest.fixture(scope="module")
def predictors() -> dict[str, FramePredictor]:
    return {
        "SAM": SamPredictor(tiny_sam(), SamBehavior(SAM_MED2D), CPU, RECORD),
        "SAM 2": Sam2Predictor(tiny_sam2(), CPU, RECORD),
    }


def points(count: int, first: int = 0) -> list[Prompt]:
    return [Point(x, y, positive=on) for x, y, on in POINTS[first : first + count]]


def asked(count: int, first: int = 0, **others: object) -> FramePrompts:
    """The same for a predictor."""
    chosen = POINTS[first : first + count]
    return FramePrompts(
        np.array([(x, y) for x, y, _ in chosen], float).reshape(-1, 2),
        np.array([on for *_, on in chosen], bool),
        **others,  # type: ignore[arg-type]
    )


QUERIES = {
    "three points": (points(3), asked(3)),
    "box and point": ([Box(*BOX), *points(1, 2)], asked(1, 2, box=BOX)),
    "point and box": ([*points(1), Box(*BOX)], asked(1, box=BOX)),
    "mask and point": ([Mask.from_array(DRAWN), *points(1, 2)], asked(1, 2, mask=DRAWN)),
}


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("name", ["SAM", "SAM 2"])
def test_prompts_given_together_are_one_call_of_the_network(
    name: str, query: str, predictors: dict[str, FramePredictor]
) -> None:
    predictor, (prompts, wanted) = predictors[name], QUERIES[query]
    scan = Scan.from_image(PICTURE)
    session = Session(scan, predictor)
    (result,) = session.prompt_all(prompts, "a")
    alone = predictor.decode(predictor.encode(scan.frame(0)), [Query(wanted)])[0]
    assert (result.mask == alone.mask).all() and 0 < result.mask.mean() < 1
    assert isinstance(session.log.events[-1], AddPrompts) and session.log.done == 1
    assert session.undo() and "a" not in session.segmentation


@pytest.mark.parametrize("query", QUERIES)
def test_one_by_one_each_answer_is_the_next_ones_mask_prompt(query: str, predictors: dict[str, FramePredictor]) -> None:
    predictor, (prompts, _) = predictors["SAM"], QUERIES[query]
    scan = Scan.from_image(PICTURE)
    together, turns, by_hand = (Session(scan, predictor) for _ in range(3))
    together.prompt_all(prompts, "a")
    turns.prompt_all(prompts, "a", one_by_one=True)
    for prompt in prompts:
        by_hand.prompt(prompt, "a")
    assert (turns.segmentation.mask("a", 0) == by_hand.segmentation.mask("a", 0)).all()
    assert turns.log.events == by_hand.log.events and all(isinstance(e, AddPrompt) for e in turns.log.events)
    if query != "mask and point":  # which is one query either way: the mask is what the point corrects
        assert (turns.segmentation.mask("a", 0) != together.segmentation.mask("a", 0)).any()


def test_a_later_call_corrects_with_the_logits_of_the_answer_before(predictors: dict[str, FramePredictor]) -> None:
    predictor, scan = predictors["SAM"], Scan.from_image(PICTURE)
    session = Session(scan, predictor)
    first = session.prompt(points(2), "a").candidates
    second = session.prompt(points(1, 2), "a")
    assert first is not None and first.logits is not None
    query = Query(asked(3), first.mask, feedback=first.logits[first.best])
    wanted = predictor.decode(predictor.encode(scan.frame(0)), [query])[0]
    assert (second.mask == wanted.mask).all()


def test_each_frame_has_a_query_of_its_own(predictors: dict[str, FramePredictor]) -> None:
    scan = Scan.from_frames(np.stack(moving_frames(3, 120)))
    prompts = [Point(60, 60, frame=1), Point(50, 52, frame=0), Point(70, 62, frame=1), Box(*BOX, frame=2)]
    session = Session(scan, predictors["SAM"])
    results = session.prompt_all(prompts, "a")
    assert [r.frame for r in results] == [1, 0, 2]
    assert [len(event.prompts) for event in session.log.events] == [2, 1, 1]  # type: ignore[union-attr]
    with pytest.raises(PromptError, match="0, 1"):
        session.prompt(prompts[:2], "a")
    with pytest.raises(PromptError, match="none"):
        session.prompt([], "a")
    assert session.log.done == 3


def test_a_log_of_both_kinds_is_read_and_replayed(predictors: dict[str, FramePredictor]) -> None:
    scan = Scan.from_image(PICTURE)
    session = Session(scan, predictors["SAM 2"])
    session.prompt(points(2), "a")
    session.prompt(points(1, 2), "a")
    session.prompt([Lasso(points=((20, 20), (90, 25), (60, 95)))], "b")
    log = PromptLog.parse(session.log.to_json())
    again = Session.replay(scan, log, predictors["SAM 2"])
    assert log == session.log and log.objects == ("a", "b")
    for name in ("a", "b"):
        assert (again.segmentation.mask(name, 0) == session.segmentation.mask(name, 0)).all()


def test_what_was_drawn_replaces_the_prompts_before_it(predictors: dict[str, FramePredictor]) -> None:
    scan = Scan.from_image(PICTURE)
    clicked, drawn = (Session(scan, predictors["SAM"]) for _ in range(2))
    clicked.prompt(points(2), "a")
    for session in (clicked, drawn):
        session.prompt(Mask.from_array(DRAWN), "a")
        session.prompt(points(1, 2), "a")
    assert (clicked.segmentation.mask("a", 0) == drawn.segmentation.mask("a", 0)).all()


def written(folder: Path, one_by_one: bool | None) -> tuple[Sequence[object], bytes, Path]:
    Image.fromarray(PICTURE).save(folder / "scan.png")
    target = SegmentTarget(name="a", prompts=tuple(points(3)), one_by_one=one_by_one)
    path = folder / f"{one_by_one}.png"
    done = segment(SegmentRequest(input=folder / "scan.png", asked=target, output=OutputChoice(path=path)))
    return done.manifest.prompts.events, path.read_bytes(), done.manifest_file


@pytest.mark.parametrize(("chosen", "events"), [(True, 3), (False, 1), (None, None)], ids=str)
def test_the_choice_is_in_the_manifest_and_comes_back(chosen: bool | None, events: int | None, tmp_path: Path) -> None:
    """Quill answers as it does best where nothing is chosen."""
    default = 3 if shipped_predictor().capabilities.one_by_one else 1
    found, outlines, manifest = written(tmp_path, chosen)
    assert sum(isinstance(event, AddPrompt | AddPrompts) for event in found) == (events or default)
    again = replay(ReplayRequest(manifest=manifest, output=OutputChoice(path=tmp_path / "again.png")))
    assert again.same and (tmp_path / "again.png").read_bytes() == outlines


def test_what_was_asked_before_an_outline_was_drawn_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    decode, counts, outline = Rle.decode, list[int](), Mask.from_array(DRAWN)

    def counted(self: Rle) -> np.ndarray:
        counts[-1] += 1
        return decode(self)

    monkeypatch.setattr(Rle, "decode", counted)
    for lassos in (1, 9):
        counts.append(0)
        session = Session(Scan.from_image(PICTURE[..., 0]), BrightPredictor())
        for n in range(lassos):
            session.prompt(Lasso((10 + n, 10), (40, 12), (30, 40)), "a")
        session.prompt(outline, "a")
        counts[-1] = 0
        session.prompt(Point(60, 60), "a")
        (drawn, clicked) = session.tracks["a"].queries(0)
        assert np.array_equal(drawn.mask, DRAWN) and len(clicked.points) == 1
    assert counts[0] == counts[1]
