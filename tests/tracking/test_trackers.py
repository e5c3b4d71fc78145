"""The three ways of following, through one interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from bright_predictor import BrightPredictor
from delineate.compute.engine import Engine, Precision
from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.propagation_options import MemoryRule, PropagationOptions
from delineate.core.resolve import FramePrompts
from delineate.predictors.capabilities import Capabilities, PromptKind, Propagation
from delineate.predictors.frame_predictor import Candidates, FramePredictor, Query
from delineate.predictors.sam2 import Sam2Predictor
from delineate.tracking import ChainTracker, Step, Tracker, tracker_for
from delineate.tracking.memory_tracker import MemoryTracker
from delineate.tracking.words import WordTracker
from tiny_networks import moving_frames, tiny_sam2

FRAMES = [Frame.of(pixels, index=n) for n, pixels in enumerate(moving_frames(4))]
SHOWN = FRAMES[0].pixels[..., 0] > 130


class Reader(BrightPredictor):
    """Knows one word, and where what it means is: wherever it is bright."""

    capabilities = Capabilities(frozenset({PromptKind.TEXT}), follows=Propagation.WORDS)

    def decode(self, features: Any, queries: Sequence[Query]) -> list[Candidates]:
        assert {query.prompts.text for query in queries} <= {"disc"}
        mask = (features[..., 0] > 130)[None]
        return [Candidates(mask, np.ones(1, np.float32), presence=float(mask.any())) for _ in queries]


class Chaining(BrightPredictor):
    """Takes the bright component under the outline before, in frames of three colors."""

    def encode(self, frame: Frame) -> Any:
        return super().encode(frame)[..., 0]


def remembering() -> FramePredictor:
    record = ModelRecord(name="tiny", version="1", sha256="", license="")
    return Sam2Predictor(tiny_sam2(), Engine(torch.device("cpu"), Precision.FP32), record)


KINDS = {"chain": (Chaining, ChainTracker), "words": (Reader, WordTracker), "memory": (remembering, MemoryTracker)}


@pytest.fixture(params=[pytest.param(kind, id=kind) for kind in KINDS])
def tracker(request: pytest.FixtureRequest) -> Tracker:
    made, kind = KINDS[request.param]
    tracker = tracker_for(made())
    assert isinstance(tracker, kind)
    return tracker


def disc(mask: np.ndarray = SHOWN) -> FramePrompts:
    return FramePrompts(mask=mask, text="disc")


def test_structures_are_added_followed_suspended_and_removed(tracker: Tracker) -> None:
    assert tracker.push(FRAMES[0]) == {} and tracker.names == ()
    step = tracker.add("disc", disc())
    assert step.confidence > 0 and step.mask.any() and tracker.names == ("disc",)
    followed = tracker.push(FRAMES[1])
    assert followed.keys() == {"disc"} and isinstance(followed["disc"], Step)
    tracker.suspend("disc")
    assert tracker.names == () and tracker.push(FRAMES[2]) == {}
    tracker.add("disc", disc())
    assert tracker.push(FRAMES[3]).keys() == {"disc"}
    tracker.remove("disc")
    tracker.remove("disc")
    assert tracker.names == ()


def test_nothing_can_be_pointed_at_before_a_frame(tracker: Tracker) -> None:
    with pytest.raises(PromptError) as caught:
        tracker.add("disc", disc())
    assert caught.value.code == "E-TRACK-NO-FRAME"


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind) for kind in ("chain", "words")])
def test_what_is_gone_is_lost_and_found_again(kind: str) -> None:
    tracker = tracker_for(KINDS[kind][0]())
    tracker.push(FRAMES[0])
    tracker.add("disc", disc())
    dark = tracker.push(Frame.of(np.zeros_like(FRAMES[0].pixels), index=1))["disc"]
    assert dark.lost and dark.confidence == 0 and not dark.mask.any()
    assert not tracker.push(FRAMES[2])["disc"].lost


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind) for kind in ("chain", "words")])
def test_an_empty_outline_is_not_followed(kind: str) -> None:
    tracker = tracker_for(KINDS[kind][0]())
    tracker.push(FRAMES[0])
    assert tracker.add("disc", disc(np.zeros_like(SHOWN))).lost and tracker.names == ()


def test_a_predictor_with_memory_can_be_told_to_chain() -> None:
    assert isinstance(tracker_for(remembering(), following=PropagationOptions(memory=MemoryRule.CHAIN)), ChainTracker)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind) for kind in ("chain", "words")])
def test_a_memory_that_is_not_there_cannot_be_chosen(kind: str) -> None:
    with pytest.raises(PromptError, match="keeps no memory"):
        tracker_for(KINDS[kind][0](), following=PropagationOptions(memory=MemoryRule.WINDOW))


def test_frames_are_encoded_the_way_one_is_told_to() -> None:
    for kind in ("chain", "words"):
        predictor, seen = KINDS[kind][0](), list[Frame]()
        tracker = tracker_for(predictor, encode=lambda f: (seen.append(f), predictor.encode(f))[1])  # noqa: B023
        tracker.push(FRAMES[0])
        tracker.add("disc", disc())
        tracker.push(FRAMES[1])
        assert seen[-1] is FRAMES[1]
