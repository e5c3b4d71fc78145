"""The tracker against the authors' video predictor: stored answers on weights drawn by name (see references/)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from references.weights import seeded_frames, seeded_state
from tiny_networks import TINY_HIERA

pytest.importorskip("transformers")

from delineate.checkpoints.key_maps import sam2_weights
from delineate.compute.engine import Engine, Precision
from delineate.core.resolve import FramePrompts
from delineate.memory.policies import EfficientFramePruning, FrameWindow, Pruning
from delineate.models.sam2 import Sam2, Sam2Shape, Sam2Version
from delineate.preprocess.fitting import Fitted
from delineate.tracking.memory_tracker import MemoryTracker, TrackerSettings

FOLDER = Path(__file__).parents[1] / "references"
SIDE, GAIN = 256, 0.7
PLACE = Fitted(SIDE, SIDE, (SIDE, SIDE), SIDE)
BOX = (70.0, 60.0, 180.0, 170.0)
CLICK = FramePrompts(np.array([[128.0, 100.0]]), np.array([True]))
CLOSE = 5e-4  # of logits of about 1 (10 for a mask prompt); boxes are another order of tokens in the host


class Native:
    """A reference file: its network in our code, its frames, its answers."""

    def __init__(self, name: str, version: Sam2Version, count: int) -> None:
        self.stored = np.load(FOLDER / f"{name}.npz")
        shapes = json.loads(str(self.stored["native_shapes"]))
        self.network = Sam2(Sam2Shape(version=version, side=SIDE, hiera=TINY_HIERA)).eval()
        self.network.host.load_state_dict(sam2_weights(seeded_state(shapes, GAIN)))
        self.frames = seeded_frames("sam2", count, SIDE)
        self.count = count

    def tracker(self, policy: FrameWindow | None = None) -> MemoryTracker:
        chosen = TrackerSettings(frames=self.count, memory=torch.float32)
        return MemoryTracker(self.network, Engine(torch.device("cpu"), Precision.FP32), policy or FrameWindow(), chosen)

    @torch.inference_mode()
    def look(self, tracker: MemoryTracker, index: int, reverse: bool = False) -> None:
        tracker.look_at(self.network.embed(self.frames[index : index + 1]), PLACE, index, reverse)

    def follow(self, tracker: MemoryTracker, frames: range, reverse: bool = False) -> dict[int, np.ndarray]:
        found = {}
        for index in frames:
            self.look(tracker, index, reverse)
            tracker.track()
            found[index] = np.concatenate([shown(tracker, name) for name in tracker.names])
        return found

    def compare(self, name: str, found: dict[int, np.ndarray]) -> None:
        wanted = dict(zip(self.stored[f"{name}/frames"].tolist(), self.stored[f"{name}/logits"], strict=True))
        assert set(found) <= set(wanted) and found
        differences = [float(np.abs(found[i] - wanted[i]).max()) for i in found]
        largest = max(float(np.abs(w).max()) for w in wanted.values())
        print(f"{name}: max abs difference {max(differences):.1e}, logits up to {largest:.1f}")
        assert max(differences) < CLOSE, f"{name}: {differences}"


@pytest.fixture(scope="module")
def sam2() -> Native:
    return Native("sam2_video", Sam2Version.V2_1, 10)


def shown(tracker: MemoryTracker, name: str = "a") -> np.ndarray:
    return tracker.logits(name)[::4, ::4].numpy()[None]


def test_one_click(sam2: Native) -> None:
    tracker = sam2.tracker()
    sam2.look(tracker, 0)
    tracker.point("a", CLICK)
    sam2.compare("click", {0: shown(tracker), **sam2.follow(tracker, range(1, 10))})


def test_three_clicks(sam2: Native) -> None:
    tracker = sam2.tracker()
    sam2.look(tracker, 0)
    points = np.array([[128.0, 100], [90, 140], [20, 30]])
    tracker.point("a", FramePrompts(points, np.array([True, True, False])))
    sam2.compare("clicks", {0: shown(tracker), **sam2.follow(tracker, range(1, 10))})


def test_box(sam2: Native) -> None:
    tracker = sam2.tracker()
    sam2.look(tracker, 0)
    tracker.point("a", FramePrompts(box=BOX))
    sam2.compare("box", {0: shown(tracker), **sam2.follow(tracker, range(1, 10))})


def test_both_directions_without_reset(sam2: Native) -> None:
    tracker = sam2.tracker()
    sam2.look(tracker, 5)
    tracker.point("a", FramePrompts(box=BOX))
    sam2.compare("forwards", {5: shown(tracker), **sam2.follow(tracker, range(6, 10))})
    sam2.compare("then backwards", sam2.follow(tracker, range(4, -1, -1), reverse=True))


def test_two_objects_followed_in_one_batch(sam2: Native) -> None:
    tracker = sam2.tracker()
    sam2.look(tracker, 0)
    tracker.point("a", FramePrompts(box=BOX))
    tracker.point("b", FramePrompts(np.array([[200.0, 200.0]]), np.array([True])))
    sam2.compare("two objects", sam2.follow(tracker, range(1, 10)))


def test_mask_prompt(sam2: Native) -> None:
    tracker = sam2.tracker()
    sam2.look(tracker, 0)
    y, x = np.mgrid[:SIDE, :SIDE]
    tracker.point("a", FramePrompts(mask=(y - 110) ** 2 + (x - 120) ** 2 < 45**2))
    sam2.compare("mask", {0: shown(tracker), **sam2.follow(tracker, range(1, 10))})


def test_second_click_is_fed_the_first_answer(sam2: Native) -> None:
    tracker = sam2.tracker()
    sam2.look(tracker, 0)
    tracker.point("a", CLICK)
    tracker.point("a", FramePrompts(np.array([[60.0, 60.0]]), np.array([False])))
    assert np.abs(shown(tracker) - sam2.stored["second click/first"]).max() < CLOSE
    sam2.compare("second click", {0: shown(tracker), **sam2.follow(tracker, range(1, 10))})


def test_correction_of_a_followed_frame(sam2: Native) -> None:
    tracker = sam2.tracker()
    sam2.look(tracker, 0)
    tracker.point("a", CLICK)
    sam2.follow(tracker, range(1, 10))
    sam2.follow(tracker, range(4, 5))  # the frame again, then a click on it
    tracker.point("a", FramePrompts(np.array([[150.0, 150.0]]), np.array([True])))
    assert np.abs(shown(tracker) - sam2.stored["correction/frame"]).max() < CLOSE
    sam2.compare("correction", sam2.follow(tracker, range(5, 10)))


def test_sam_2_0() -> None:
    native = Native("sam2_0_video", Sam2Version.V2_0, 14)
    tracker = native.tracker()
    native.look(tracker, 0)
    tracker.point("a", CLICK)
    native.compare("click", {0: shown(tracker), **native.follow(tracker, range(1, 14))})


def test_efficient_frame_pruning_v1() -> None:
    native = Native("efp_v1", Sam2Version.V2_0, 14)
    tracker = native.tracker(EfficientFramePruning(version=Pruning.V1))
    native.look(tracker, 0)
    tracker.point("a", CLICK)
    native.compare("click", {0: shown(tracker), **native.follow(tracker, range(1, 14))})


def test_pruning_changes_the_answer_from_the_seventh_frame_on() -> None:
    """So that the test above cannot pass without pruning."""
    pruned, whole = np.load(FOLDER / "efp_v1.npz"), np.load(FOLDER / "sam2_0_video.npz")
    apart = np.abs(pruned["click/logits"] - whole["click/logits"]).max(axis=(1, 2, 3))
    assert (apart[:7] < 1e-5).all() and apart[8:].min() > 1e-3
