"""What is looked at of an object is chosen once a frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from tiny_networks import moving_frames, tiny_sam2

pytest.importorskip("transformers")

from delineate.compute.engine import Engine, Precision
from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.memory.bank import MemoryBank
from delineate.memory.policies import EfficientFramePruning, Slots
from delineate.tracking.memory_tracker import MemoryTracker


@dataclass(frozen=True)
class Counted(EfficientFramePruning):
    asked: list[int] = field(default_factory=list)

    def slots(self, bank: MemoryBank, index: int, reverse: bool) -> Slots:
        self.asked.append(index)
        return super().slots(bank, index, reverse)


@pytest.mark.parametrize("objects", [1, 3])
def test_the_policy_is_asked_once_for_an_object_and_a_frame(objects: int) -> None:
    policy = Counted()
    tracker = MemoryTracker(tiny_sam2(), Engine(torch.device("cpu"), Precision.FP32), policy)
    frames = [Frame.of(pixels, index=n) for n, pixels in enumerate(moving_frames(6))]
    tracker.look(frames[0])
    for n in range(objects):
        tracker.point(str(n), FramePrompts(box=(8 + n, 8, 30, 30)))
    policy.asked.clear()
    for frame in frames[1:]:
        tracker.look(frame)
        tracker.track()
    assert policy.asked == [index for index in range(1, 6) for _ in range(objects)]
