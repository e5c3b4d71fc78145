"""Which memories are looked at, and how many are kept."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")

from delineate.memory.bank import Memory, MemoryBank
from delineate.memory.policies import CrossImageBank, EfficientFramePruning, FrameWindow, Pruning


def memory(index: int, direction: int = 0, iou: float = 0.9) -> Memory:
    """A memory pointing along one of 64 directions, so that likeness is known."""
    tokens = torch.zeros(16, 64)
    tokens[:, direction % 64] = 1.0
    return Memory(index, tokens, torch.zeros(256), 5.0, iou)


def bank(prompted: list[int], tracked: list[int]) -> MemoryBank:
    made = MemoryBank(reach=1000, map_reach=1000)
    for index in tracked:
        made.store(memory(index, index), prompted=False)
    for index in prompted:
        made.store(memory(index, index), prompted=True)
    return made


def indices(slots: list) -> list[tuple[int, int]]:
    return [(slot, one.index) for slot, one in slots]


def test_window_is_what_was_pointed_at_then_the_last_six_oldest_first() -> None:
    found = indices(FrameWindow().slots(bank([0], list(range(1, 12))), 12, False))
    assert found == [(0, 0), (6, 6), (5, 7), (4, 8), (3, 9), (2, 10), (1, 11)]


def test_window_backwards() -> None:
    found = indices(FrameWindow().slots(bank([20], list(range(10, 20))), 9, True))
    assert found == [(0, 20), (6, 15), (5, 14), (4, 13), (3, 12), (2, 11), (1, 10)]


def test_stride_keeps_the_nearest_and_every_third() -> None:
    found = indices(FrameWindow(stride=3).slots(bank([0], list(range(1, 20))), 20, False))
    assert found == [(0, 0), (6, 6), (5, 9), (4, 12), (3, 15), (2, 18), (1, 19)]


def test_most_prompted_takes_the_nearest_before_and_after_first() -> None:
    chosen = FrameWindow(most_prompted=3).prompted(bank([0, 4, 9, 30, 31], []), 10)
    assert sorted(chosen) == [4, 9, 30]


@pytest.mark.parametrize(("version", "counts"), [(Pruning.V1, {5: 5, 6: 6, 7: 5}), (Pruning.V2, {5: 5, 6: 5, 7: 5})])
def test_pruning_keeps_as_many_as_each_version(version: Pruning, counts: dict[int, int]) -> None:
    for found, kept in counts.items():
        slots = EfficientFramePruning(version=version).slots(bank([0], list(range(1, found))), found, False)
        assert len(slots) == kept, (version, found)


def test_pruning_leaves_out_the_most_similar_and_never_the_first_or_the_newest() -> None:
    made = MemoryBank(reach=100, map_reach=100)
    made.store(memory(0, 9), prompted=True)
    for index, direction in ((1, 1), (2, 9), (3, 2), (4, 9), (5, 3), (6, 9)):
        made.store(memory(index, direction), prompted=False)
    kept = [m.index for _, m in EfficientFramePruning(version=Pruning.V1).slots(made, 7, False)]
    assert kept == [0, 1, 3, 5, 6]


def test_memory_is_flat_over_ten_thousand_frames() -> None:
    made = MemoryBank(reach=16, map_reach=16)
    made.store(memory(0), prompted=True)
    sizes = []
    for index in range(1, 10_000):
        made.store(memory(index), prompted=False)
        made.pass_by(index, False)
        sizes.append(made.bytes)
    assert max(sizes) == sizes[-1] == sizes[20] and len(made.followed) < 40


def test_one_frame_of_one_object_takes_less_than_0_6_mib_at_1024_px() -> None:
    kept = Memory(3, torch.zeros(64 * 64, 64, dtype=torch.bfloat16), torch.zeros(256), 1.0, 0.9)
    assert kept.bytes / 2**20 < 0.6


def test_cross_image_bank_replaces_a_twin_by_something_new() -> None:
    """16 entries: 0 and 1 are alike; a new direction replaces the twin of the entry least like it."""
    made = CrossImageBank(size=4)
    for n, direction in enumerate((0, 0, 1, 2)):
        assert made.offer(memory(n, direction))
    assert made.offer(memory(4, 3))
    assert len(made.entries) == 4 and made.entries[-1].index == 4
    assert not made.offer(memory(5, 1, iou=0.5))
