"""What a session follows from clicks, boxes and masks is what the authors' video predictor would, asked the same.

``MemoryTracker`` is held to the authors' stored answers in tests/memory; here it is driven as their scripts do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny_networks import moving_frames, tiny_sam2

pytest.importorskip("transformers")

from delineate.compute.engine import Engine, Precision
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.prompts import Box, Mask, Point, Prompt
from delineate.core.propagation_options import Directions, PropagationOptions
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.memory.cleaning import tidied
from delineate.predictors.sam2 import Sam2Predictor
from delineate.session import Session
from delineate.systems import medsam2, sam2, surgical_sam2
from delineate.tracking.guards import GuardSettings
from delineate.tracking.memory_tracker import MemoryTracker

CPU = Engine(torch.device("cpu"), Precision.FP32)
RECORD = ModelRecord(name="sam2 tiny", version="test", sha256="", license="")
COUNT, START = 6, 2
FRAMES = moving_frames(COUNT, 160)
BOX = (50.0, 52.0, 108.0, 112.0)
DRAWN = np.zeros((160, 160), bool)
DRAWN[60:105, 55:100] = True
Masks = dict[int, np.ndarray]


@pytest.fixture(scope="module")
def predictor() -> Sam2Predictor:
    return Sam2Predictor(tiny_sam2(), CPU, RECORD)


def clicks(*places: tuple[float, float, bool]) -> FramePrompts:
    return FramePrompts(np.array([p[:2] for p in places], float), np.array([p[2] for p in places], bool))


def points(*places: tuple[float, float, bool]) -> list[Prompt]:
    return [Point(x, y, frame=START, positive=on) for x, y, on in places]


ON, MORE, OFF = (80.0, 80.0, True), (90.0, 70.0, True), (10.0, 12.0, False)
BOXED = [Box(*BOX, frame=START)]
DREW = [Mask.from_array(DRAWN, frame=START)]
# title: what a person gives, call by call; what the authors' predictor is given, call by call
ASKED: dict[str, tuple[list[list[Prompt]], list[FramePrompts]]] = {
    "click": ([points(ON)], [clicks(ON)]),
    "three points": ([points(ON, MORE, OFF)], [clicks(ON, MORE, OFF)]),
    "box": ([BOXED], [FramePrompts(box=BOX)]),
    "box and point": ([[*BOXED, *points(OFF)]], [replace(clicks(OFF), box=BOX)]),
    "mask": ([DREW], [FramePrompts(mask=DRAWN)]),
    "click, then a correction": ([points(ON), points(OFF)], [clicks(ON), clicks(OFF)]),
    "mask, then a click": ([DREW, points(OFF)], [FramePrompts(mask=DRAWN), clicks(OFF)]),
    "mask and click": ([[*DREW, *points(OFF)]], [FramePrompts(mask=DRAWN), clicks(OFF)]),
    "click, then a mask": ([points(ON), DREW], [FramePrompts(mask=DRAWN)]),
}


def as_authors(predictor: Sam2Predictor, given: Sequence[FramePrompts], reset: bool, **how: object) -> Masks:
    """Prompts, forwards to the end, then (with a reset: prompts again) backwards."""

    def fresh() -> MemoryTracker:
        made = MemoryTracker.of(predictor, PropagationOptions(reset=reset, **how), COUNT, GuardSettings())  # type: ignore[arg-type]
        made.look(Frame.of(FRAMES[START], index=START))
        for prompts in given:
            found[START] = made.point("a", prompts).mask
        return made

    found: Masks = {}
    tracker = fresh()
    for reverse, frames in ((False, range(START + 1, COUNT)), (True, range(START - 1, -1, -1))):
        if reverse and reset:
            tracker = fresh()
        for index in frames:
            tracker.look(Frame.of(FRAMES[index], index=index), reverse)
            found[index] = tracker.track()["a"].mask
    return found


def followed(predictor: Sam2Predictor, given: Sequence[Sequence[Prompt]], **how: object) -> Session:
    session = Session(Scan.from_frames(np.stack(FRAMES)), predictor, GuardSettings(presence=0))
    for prompts in given:
        session.prompt(prompts, "a")
    session.propagate(following=PropagationOptions(**how))  # type: ignore[arg-type]
    return session


AFTER_A_RESET = ("click", "box and point", "mask, then a click")


@pytest.mark.parametrize(
    ("title", "reset"),
    [*((one, False) for one in ASKED), *((one, True) for one in AFTER_A_RESET)],
    ids=lambda one: {False: "memory kept", True: "reset"}.get(one, one),
)
def test_a_session_follows_what_was_asked(title: str, reset: bool, predictor: Sam2Predictor) -> None:
    given, calls = ASKED[title]
    session, wanted = followed(predictor, given, reset=reset), as_authors(predictor, calls, reset)
    for frame, mask in wanted.items():
        found = session.segmentation.mask("a", frame)
        if frame == START and title in ("mask", "click, then a mask"):
            assert (found == DRAWN).all()  # taken as it is, not as the network's 64 x 64 cells have it
        else:
            assert (found == mask).all(), (frame, found.sum(), mask.sum())


def test_keeping_the_memory_and_a_reset_differ_behind_the_start_alone(predictor: Sam2Predictor) -> None:
    kept, reset = (as_authors(predictor, [clicks(ON)], one) for one in (False, True))
    assert all((kept[n] == reset[n]).all() for n in range(START, COUNT))
    assert any((kept[n] != reset[n]).any() for n in range(START))


@pytest.mark.parametrize(
    ("parts", "resets"),
    [
        (sam2.SYSTEMS[0], False),
        (surgical_sam2.SYSTEMS[0], False),
        (medsam2.SYSTEMS[0], True),
        (medsam2.SYSTEMS[1], True),
    ],
    ids=lambda one: getattr(one, "name", str(one)),
)
def test_each_system_goes_back_as_its_authors_do(parts: object, resets: bool) -> None:
    assert parts.build.__self__.resets is resets  # type: ignore[attr-defined]


def test_a_systems_own_way_back_is_the_default(predictor: Sam2Predictor) -> None:
    for resets in (False, True):
        own = replace(predictor, resets=resets)
        session, wanted = followed(own, [points(ON)]), as_authors(predictor, [clicks(ON)], resets)
        assert all((session.segmentation.mask("a", n) == mask).all() for n, mask in wanted.items())


def edited_sessions(predictor: Sam2Predictor) -> dict[str, Session]:
    scan = Scan.from_frames(np.stack(FRAMES))
    chosen, locked, corrected, outlines = (Session(scan, predictor, GuardSettings(presence=0)) for _ in range(4))
    chosen.prompt(points(ON), "a")
    chosen.choose("a", START, 1)
    locked.prompt(Mask.from_array(DRAWN, frame=START), "wall")
    locked.lock("wall")
    locked.prompt(points(ON), "a")
    corrected.prompt([Box(*BOX, frame=0)], "a")
    corrected.propagate(following=PropagationOptions(directions=Directions.FORWARD))
    corrected.prompt(points(OFF), "a")
    outlines.prompt(points(ON), "a")
    return {"candidate": chosen, "locked pixels": locked, "followed outline corrected": corrected, "asked": outlines}


@pytest.mark.parametrize("title", ["candidate", "locked pixels", "followed outline corrected", "asked"])
def test_the_outline_goes_to_the_tracker_where_a_person_changed_it(title: str, predictor: Sam2Predictor) -> None:
    session = edited_sessions(predictor)[title]
    outline = session.segmentation.mask("a", START)
    follow = PropagationOptions(directions=Directions.FORWARD, outlines=title == "asked")
    session.propagate(["a"], following=follow)
    tracker = MemoryTracker.of(predictor, follow, COUNT, GuardSettings())
    if title == "followed outline corrected":  # what was prompted before is remembered, too
        tracker.look(Frame.of(FRAMES[0], index=0))
        tracker.point("a", FramePrompts(box=BOX))
    tracker.look(Frame.of(FRAMES[START], index=START))
    tracker.point("a", FramePrompts(mask=outline))
    for frame in range(START + 1, COUNT):
        tracker.look(Frame.of(FRAMES[frame], index=frame))
        mask = tracker.track()["a"].mask & ~session.segmentation.locked_pixels(frame, except_for="a")
        assert (session.segmentation.mask("a", frame) == mask).all()


def test_holes_are_filled_before_a_prompted_frame_is_remembered_and_after_others(predictor: Sam2Predictor) -> None:
    area, network = 60, predictor.network
    tracker = MemoryTracker.of(predictor, PropagationOptions(fill=area), COUNT, GuardSettings())
    tracker.look(Frame.of(FRAMES[0], index=0))
    tracker.point("a", clicks(ON))
    plain = MemoryTracker.of(predictor, PropagationOptions(), COUNT, GuardSettings())
    plain.look(Frame.of(FRAMES[0], index=0))
    plain.point("a", clicks(ON))
    seen, raw = plain._frame.maps, plain.logits("a")[None, None]
    filled = tidied(raw, area)
    assert (filled != raw).any() and (tracker.logits("a") == filled[0, 0]).all()
    yes, present = torch.ones(1, dtype=torch.bool), torch.ones(1, 1)
    with torch.inference_mode():
        wanted = network.remember(seen, filled, present, yes)[0].to(torch.bfloat16)
        unfilled = network.remember(seen, raw, present, yes)[0].to(torch.bfloat16)
    kept = tracker.bank("a").prompted[0].tokens
    assert kept is not None and torch.equal(kept, wanted) and not torch.equal(kept, unfilled)
    tracker.look(Frame.of(FRAMES[1], index=1))
    with torch.inference_mode():
        tracker.track()
        now = tracker._frame.maps
        coarse = tracker._recall.conditioned(now, [tracker.bank("a")], 1, False)
        answer = tracker._recall.followed(coarse, now)
        wanted = network.remember(now, answer.best, answer.present, ~yes)[0].to(torch.bfloat16)
    kept = tracker.bank("a").tracked[1].tokens
    assert kept is not None and torch.equal(kept, wanted)
    assert (tracker.logits("a") == tidied(answer.best, area)[0, 0]).all()


def test_every_prompted_frame_is_remembered_from_the_start(predictor: Sam2Predictor) -> None:
    """As the authors' predictor does where all prompts are given before it goes through the video."""
    forwards = PropagationOptions(directions=Directions.FORWARD, reset=False)
    tracker = MemoryTracker.of(predictor, forwards, COUNT, GuardSettings())
    wanted: Masks = {}
    for index, prompts in ((0, clicks(ON)), (3, FramePrompts(box=BOX))):
        tracker.look(Frame.of(FRAMES[index], index=index))
        wanted[index] = tracker.point("a", prompts).mask
    for index in (1, 2, 4, 5):
        tracker.look(Frame.of(FRAMES[index], index=index))
        wanted[index] = tracker.track()["a"].mask
    session, alone = (Session(Scan.from_frames(np.stack(FRAMES)), predictor, GuardSettings(presence=0)) for _ in "ab")
    for one in (session, alone):
        one.prompt(Point(*ON[:2], frame=0), "a")
    session.prompt(Box(*BOX, frame=3), "a")
    for one in (session, alone):
        one.propagate(following=forwards)
    assert all((session.segmentation.mask("a", n) == mask).all() for n, mask in wanted.items())
    assert any((alone.segmentation.mask("a", n) != wanted[n]).any() for n in (1, 2))


def test_a_later_prompt_is_followed_with_the_earlier_ones_in_mind(predictor: Sam2Predictor) -> None:
    session = followed(predictor, [points(ON)], reset=True)
    before = {n: session.segmentation.mask("a", n) for n in range(START)}
    session.prompt(Box(*BOX, frame=COUNT - 1), "a")
    session.propagate(following=PropagationOptions(reset=True))
    tracker = MemoryTracker.of(predictor, PropagationOptions(reset=True), COUNT, GuardSettings())
    for index, prompts in ((START, clicks(ON)), (COUNT - 1, FramePrompts(box=BOX))):
        tracker.look(Frame.of(FRAMES[index], index=index))
        tracker.point("a", prompts)
    tracker.look(Frame.of(FRAMES[COUNT - 2], index=COUNT - 2), reverse=True)
    assert (session.segmentation.mask("a", COUNT - 2) == tracker.track()["a"].mask).all()
    assert all((session.segmentation.mask("a", n) == mask).all() for n, mask in before.items())  # nearest to the first
