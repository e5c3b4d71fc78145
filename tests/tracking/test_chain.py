"""Frames pushed one at a time: added, corrected, removed and lost structures, and memory that does not grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bright_predictor import BrightPredictor
from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.prompts import Point
from delineate.core.propagation_options import Directions
from delineate.core.resolve import FramePrompts
from delineate.core.scan import Scan
from delineate.predictors.frame_predictor import ChainedCandidates, ChainOptions, Query, ReferenceFrame
from delineate.session import Session
from delineate.tracking import ChainTracker, Drift, GuardSettings
from delineate.tracking.propagate import territories

SIZE = 64


def moving_square(frame: int, side: int = 10, gray: int = 200) -> np.ndarray:
    """A bright square that drifts to and fro."""
    picture = np.zeros((SIZE, SIZE), dtype=np.uint8)
    x = 20 + round(15 * np.sin(frame / 9))
    picture[25 : 25 + side, x : x + side] = gray
    return picture


def click(x: float, y: float) -> FramePrompts:
    return FramePrompts(np.array([[x, y]]), np.array([True]))


def test_a_structure_is_followed_as_frames_arrive() -> None:
    tracker = ChainTracker(BrightPredictor())
    assert tracker.push(Frame.of(moving_square(0))) == {}
    assert tracker.add("square", click(25, 30)).mask.sum() == 100
    for n in range(1, 40):
        step = tracker.push(Frame.of(moving_square(n)))["square"]
        assert np.array_equal(step.mask, moving_square(n) > 0)
        assert not step.lost and 0.1 < step.confidence < 0.9


def test_pointing_before_the_first_frame_is_refused() -> None:
    with pytest.raises(PromptError, match="no frame"):
        ChainTracker(BrightPredictor()).add("square", click(25, 30))


def test_structures_come_and_go_at_any_frame() -> None:
    tracker = ChainTracker(BrightPredictor())
    tracker.push(Frame.of(moving_square(0)))
    tracker.add("first", click(25, 30))
    tracker.push(Frame.of(moving_square(1)))
    tracker.add("second", click(25, 30))
    assert set(tracker.push(Frame.of(moving_square(2)))) == {"first", "second"}
    tracker.remove("first")
    assert set(tracker.push(Frame.of(moving_square(3)))) == {"second"}


def test_a_lost_structure_is_found_again() -> None:
    tracker = ChainTracker(BrightPredictor())
    tracker.push(Frame.of(moving_square(0)))
    tracker.add("square", click(25, 30))
    hidden = tracker.push(Frame.of(np.zeros((SIZE, SIZE), dtype=np.uint8)))["square"]
    assert hidden.lost and not hidden.mask.any() and hidden.confidence == 0
    assert tracker.push(Frame.of(moving_square(1)))["square"].mask.sum() == 100


class NearSighted(BrightPredictor):
    """Sees 12 pixels around the outline before, or as many times as far as it is told to."""

    capabilities = replace(BrightPredictor.capabilities, chain_options=True)

    def follow(
        self, features: NDArray[Any], references: Sequence[ReferenceFrame], options: ChainOptions
    ) -> list[ChainedCandidates]:
        return [self._near(features, one, round(12 * options.search)) for one in references]

    def _near(self, features: NDArray[Any], reference: ReferenceFrame, reach: int) -> ChainedCandidates:
        near = ndimage.binary_dilation(reference.mask, iterations=reach)
        return ChainedCandidates(**vars(self.outlined(features * near, Query(previous=features * near > 100))))


class Unsure(BrightPredictor):
    """Relies on the upper half of what it shows; remembers what it was reported."""

    capabilities = replace(BrightPredictor.capabilities, chain_options=True)
    told: tuple[int, ...] = ()

    def follow(
        self, features: NDArray[Any], references: Sequence[ReferenceFrame], options: ChainOptions
    ) -> list[ChainedCandidates]:
        Unsure.told += tuple(int(one.mask.sum()) for one in references)
        upper = np.zeros((SIZE, SIZE), bool)
        upper[: SIZE // 2] = True
        answers = self.decode(features, [Query(reference=one) for one in references])
        return [ChainedCandidates(**vars(one), confident=one.mask & upper) for one in answers]


def test_what_is_relied_on_is_followed_and_all_is_shown() -> None:
    tracker = ChainTracker(Unsure())
    frame = np.zeros((SIZE, SIZE), np.uint8)
    frame[SIZE // 2 - 6 : SIZE // 2 + 4, 20:30] = 200
    tracker.push(Frame.of(frame))
    tracker.add("square", click(25, SIZE // 2))
    shown = [int(tracker.push(Frame.of(frame))["square"].mask.sum()) for _ in range(2)]
    assert shown == [100, 100] and Unsure.told == (100, 60)


@pytest.mark.parametrize(("search", "found"), [(1.0, 0), (3.0, 100)], ids=["not-looked-for", "looked-for"])
def test_what_has_jumped_is_looked_for_farther_off(search: float, found: int) -> None:
    tracker = ChainTracker(NearSighted(), GuardSettings(chain=ChainOptions(search=search)))
    tracker.push(Frame.of(moving_square(0)))
    tracker.add("square", click(25, 30))
    assert tracker.push(Frame.of(np.roll(moving_square(0), 25, axis=0)))["square"].mask.sum() == found


@pytest.mark.parametrize(
    ("later", "sign"),
    [(moving_square(1, side=22), Drift.AREA), (moving_square(1, gray=101) + 0, Drift.APPEARANCE)],
    ids=["grows-fivefold", "half-as-bright"],
)
def test_drift_is_seen_and_lowers_the_confidence(later: np.ndarray, sign: Drift) -> None:
    tracker = ChainTracker(BrightPredictor(), GuardSettings(appearance=0.4))
    tracker.push(Frame.of(moving_square(0)))
    tracker.add("square", click(25, 30))
    step = tracker.push(Frame.of(later))["square"]
    assert sign in step.drift
    assert step.confidence < 0.8


def test_an_outline_cannot_jump_across_the_frame() -> None:
    tracker = ChainTracker(BrightPredictor())
    first = moving_square(0)
    tracker.push(Frame.of(first))
    tracker.add("square", click(25, 30))
    leaked = first.copy()
    leaked[30, :] = 200
    step = tracker.push(Frame.of(leaked))["square"]
    assert not step.mask[:, :10].any() and not step.mask[:, 45:].any()


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([5], {5: (0, 20)}),
        ([4, 10], {4: (0, 8), 10: (8, 20)}),
        ([0, 19], {0: (0, 10), 19: (10, 20)}),
        ([25], {}),
    ],
)
def test_every_frame_belongs_to_the_nearest_outline(frames: list[int], expected: dict) -> None:
    assert territories(frames, 0, 20) == expected


@pytest.mark.parametrize("directions", Directions)
def test_where_nothing_is_outlined_there_is_no_territory(directions: Directions) -> None:
    assert territories([4], 0, 0, directions) == {} and territories([], 0, 20, directions) == {}


class CountingFrames:
    """A long clip that makes its frames when they are read, and knows how many are alive."""

    def __init__(self, count: int) -> None:
        self.shape = (count, SIZE, SIZE)
        self.dtype = np.dtype(np.uint8)

    def read(self, index: int) -> np.ndarray:
        return moving_square(index)


def test_memory_stays_flat_over_three_thousand_frames() -> None:
    """Frames are 4 KiB here: keeping them all, or their features, would take 12 MiB or more."""
    scan = Scan.from_frames(CountingFrames(3000))
    session = Session(scan, BrightPredictor())
    session.prompt(Point(25, 30, frame=1500), "square")
    tracemalloc.start()
    session.propagate()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    outlines = session.segmentation["square"]
    assert len(outlines.frames) == 3000
    assert peak < 6 * 2**20
    assert all(np.array_equal(outlines.masks[n].decode(), moving_square(n) > 0) for n in range(0, 3000, 250))


def test_frames_are_not_held_by_the_tracker() -> None:
    def clip() -> Iterator[np.ndarray]:
        yield from (moving_square(n) for n in range(3000))

    tracker = ChainTracker(BrightPredictor())
    frames = clip()
    tracker.push(Frame.of(next(frames)))
    tracker.add("square", click(25, 30))
    tracemalloc.start()
    for frame in frames:
        tracker.push(Frame.of(frame))
    current, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert current < 2**18
