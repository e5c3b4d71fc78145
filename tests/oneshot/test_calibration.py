"""What supports are compared with for their thresholds, and how many slices of a volume are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from delineate.core.frame import Frame
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.fewshot.candidates import Origin
from delineate.fewshot.matcher import Match, Support
from delineate.labels.reading import segmentation_of
from delineate.oneshot.calibration import ALONE, LEAST, MOST, calibrated, painted_over
from delineate.oneshot.examples import Example, frames_needed
from delineate.oneshot.scans import find_as_shown, frames_to_look_at

MASK = np.zeros((24, 24), bool)
MASK[8:14, 6:12] = True


class Noted:
    """A Matcher that notes what it compares with; similarity 0.9 where the structure is, 0.2 painted over."""

    def __init__(self, *shown: str) -> None:
        pixels = np.zeros((24, 24), np.uint8) + 20
        pixels[MASK] = 200
        self.supports = [Support(Frame.of(pixels), dict.fromkeys(names, MASK)) for names in shown]
        self.names = tuple(sorted(set("".join(shown))))
        self.asked: list[tuple[tuple[int, ...], bool]] = []

    def match(self, frame: Frame, use: Sequence[int]) -> dict[str, Match]:
        there = float(frame.pixels[11, 9]) > 100
        self.asked.append((tuple(use), there))
        return {
            name: Match(MASK, 0.9 if there else 0.2, Origin.COARSE, MASK)
            for name in self.names
            if any(name in self.supports[n].masks for n in use)
        }


SEVERAL = 0.2 + 0.5 * 0.7


@pytest.mark.parametrize(
    ("shown", "scans", "compared", "limits"),
    [
        pytest.param(("a",), None, set(), {"a": ALONE}, id="one-alone"),
        pytest.param(("a", "a"), None, {(0,), (1,)}, {"a": SEVERAL}, id="two-scans"),
        pytest.param(("a", "a", "a"), [0, 0, 0], set(), {"a": ALONE}, id="slices-of-one-scan"),
        pytest.param(("a", "a", "a"), [0, 0, 1], {(2,), (0, 1)}, {"a": SEVERAL}, id="slices-of-two-scans"),
        pytest.param(("ab", "a"), None, {(0,), (1,)}, {"a": SEVERAL, "b": ALONE}, id="a-structure-on-one-of-two"),
    ],
)
def test_thresholds_come_from_other_scans_where_there_are_any(
    shown: tuple[str, ...], scans: list[int] | None, compared: set[tuple[int, ...]], limits: dict[str, float]
) -> None:
    matcher: Any = Noted(*shown)
    found = calibrated(matcher, scans)
    assert {name: one.similarity for name, one in found.items()} == pytest.approx(limits)
    assert {use for use, there in matcher.asked if there} == compared
    assert {use for use, there in matcher.asked if not there} == compared
    assert LEAST < SEVERAL < MOST


def test_a_slice_painted_over_is_windowed_as_its_scan() -> None:
    voxels = np.random.default_rng(0).integers(0, 900, (24, 24, 3)).astype(np.int16)
    voxels[..., 2] += 2000
    slice_ = Scan.from_volume(voxels, slice_axis=2).frame(0)
    assert painted_over(slice_, MASK).intensities is slice_.intensities


def test_short_structures_make_more_slices_looked_at() -> None:
    def shown(first: int, last: int) -> Example:
        labels = np.zeros((8, 8, 120), np.uint8)
        labels[2:6, 2:6, first:last] = 1
        return Example(*(made(Scan.from_volume(labels, slice_axis=2)) for made in (lambda one: one, segmentation_of)))

    assert [frames_needed([shown(*ends)]) for ends in ((10, 90), (50, 60), (50, 52), (50, 51))] == [12, 24, 48, 12]
    assert frames_needed([]) == 12
    assert len(frames_to_look_at(120, 24)) == 24


def test_a_volume_that_lies_otherwise_is_seen_as_shown() -> None:
    voxels = np.arange(24 * 20 * 5, dtype=np.int16).reshape(24, 20, 5)
    shown = Scan.from_volume(voxels, slice_axis=2)
    flipped = Scan.from_volume(voxels[::-1, ::-1, ::-1], type(shown.grid)(voxels.shape, np.diag([-1.0, -1, -1, 1])), 2)
    mask = np.zeros((20, 24), bool)
    mask[2:6, 3:9] = True
    seen = []

    class Finds:
        names = ("a",)

        def match(self, frame: Frame) -> dict[str, Match]:
            seen.append(frame.pixels)
            return {"a": Match(mask, frame.index / 10, Origin.COARSE, mask)}

    finds: Any = Finds()
    found = find_as_shown(flipped, shown, finds, {"a": 0.1}, lambda scan: Segmentation.empty(scan).adding("a"))
    assert all(np.array_equal(one, shown.pixels(n)) for n, one in enumerate(seen))
    assert found.findings[0].frame == 0, "the last slice as shown is the first one of the file"
    assert np.array_equal(found.segmentation.mask("a", 0), mask[::-1, ::-1])
