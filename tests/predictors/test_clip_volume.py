"""Volumes of which clips of slices are embedded together: what is asked of which slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.core.scan import Scan
from delineate.core.volume_prompts import VolumePrompts
from delineate.predictors.capabilities import VISUAL_PROMPTS, Capabilities
from delineate.predictors.clip_volume import ClipVolumePredictor, clip_of, territory
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.preprocess.intensity import WindowRule

SLICES = 12
VISIBLE = range(2, 9)  # slices that show the structure


class Square:
    """A ClipEncoder that finds a square on the slices that show it, without what a negative click says is not it."""

    record = ModelRecord(name="square", version="1", sha256="3" * 64, license="")
    capabilities = Capabilities(VISUAL_PROMPTS)
    window_rule = WindowRule.CROP

    def __init__(self) -> None:
        self.clips: list[tuple[int, ...]] = []
        self.asked: list[tuple[int, Query]] = []

    def encode(self, frame: Frame) -> int:
        raise AssertionError("slices are embedded in clips")

    def encode_clip(self, frames: Sequence[Frame]) -> list[int]:
        self.clips.append(tuple(frame.index or 0 for frame in frames))
        return [frame.index or 0 for frame in frames]

    def decode(self, features: int, queries: Sequence[Query]) -> list[Candidates]:
        (query,) = queries
        self.asked.append((features, query))
        mask = np.zeros((20, 20), bool)
        mask[5:15, 5:15] = features in VISIBLE
        for (x, y), positive in zip(query.prompts.points, query.prompts.labels, strict=True):
            mask[int(y), int(x)] &= positive
        return [Candidates(mask[None], np.ones(1, np.float32))]


def scan() -> Scan:
    return Scan.from_volume(np.zeros((20, 20, SLICES), np.int16), slice_axis=2)


def segmented(**prompts: object) -> tuple[Square, dict[int, Candidates]]:
    square = Square()
    found = ClipVolumePredictor(square, 4).segment(scan(), {"it": VolumePrompts(**prompts)})["it"]  # type: ignore[arg-type]
    return square, dict(found)


def test_every_slice_of_a_3d_box_is_asked_with_it() -> None:
    square, found = segmented(boxes=((3.0, 3.0, 1.0, 17.0, 17.0, 6.0),))
    assert sorted(found) == [2, 3, 4, 5] and [frame for frame, _ in square.asked] == [1, 2, 3, 4, 5]
    assert all(query.prompts.box == (3, 3, 17, 17) for _, query in square.asked)
    assert square.clips == [(0, 1, 2, 3), (4, 5, 6, 7)], "each clip once"


def test_a_box_on_one_slice_is_followed_until_nothing_is_found() -> None:
    square, found = segmented(boxes=((3.0, 3.0, 4.0, 17.0, 17.0, 5.0),))
    assert sorted(found) == list(VISIBLE)
    followed = {frame: query.reference for frame, query in square.asked if frame != 4}
    assert all(reference is not None for reference in followed.values())
    assert sorted(followed) == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10], "two slices beyond either end"


def test_a_click_beside_it_corrects_what_was_followed() -> None:
    points = np.array([[10.0, 10, 4], [6, 6, 6]])
    square, found = segmented(points=points, labels=np.array([True, False]))
    assert sorted(found) == list(VISIBLE)
    assert not found[6].mask[6, 6] and found[5].mask[6, 6]
    last, query = square.asked[-1]
    assert last == 6 and query.previous is not None and query.previous[6, 6]


def test_a_drawn_outline_is_followed_and_not_asked_about() -> None:
    mask = np.zeros((20, 20), bool)
    mask[7:9, 7:9] = True
    square, found = segmented(masks={3: mask})
    assert 3 not in found and sorted(found) == [n for n in VISIBLE if n != 3]
    assert 3 not in {frame for frame, _ in square.asked}


@pytest.mark.parametrize(("frames", "depth"), [(10, 4), (12, 4), (35, 8), (2, 4), (1, 8), (9, 8), (7, 1)])
def test_every_slice_lies_in_one_clip_and_clips_are_even(frames: int, depth: int) -> None:
    clips = sorted({clip_of(frame, frames, depth) for frame in range(frames)})
    assert [n for first, stop in clips for n in range(first, stop)] == list(range(frames))
    assert all(first <= n < stop for n in range(frames) for first, stop in [clip_of(n, frames, depth)])
    depths = {stop - first for first, stop in clips}
    assert max(depths) <= depth and max(depths) - min(depths) <= 1 and len(clips) == -(-frames // depth)


def test_slices_belong_to_the_nearest_prompt() -> None:
    seeds = [2, 7, 8]
    every = sorted(n for seed in seeds for step in (1, -1) for n in territory(seed, step, seeds, 12))
    assert every == [0, 1, 3, 4, 5, 6, 9, 10, 11]
