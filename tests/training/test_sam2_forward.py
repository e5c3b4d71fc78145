"""The training forward answers as the tracker does, and gradients reach all that is asked to learn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers")

from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.memory.policies import EfficientFramePruning, FrameWindow, MemoryPolicy
from delineate.models.sam2 import Sam2Maps, Sam2Version
from delineate.preprocess.profiles import sam2_video
from delineate.tracking.memory_tracker import MemoryTracker, TrackerSettings
from delineate.training.sam2_forward import sequence_decodings
from delineate.training.sequence_prompts import Clicks, SequencePrompting, SimulatedPrompts, boxed, error_click
from tiny_networks import moving_frames, tiny_sam2
from training_clips import CPU

SIDE, FRAMES = 128, 9
BOX = (40.0, 44.0, 88.0, 86.0)
OTHER_BOX = (10.0, 20.0, 50.0, 70.0)
NEAR = np.mgrid[:SIDE, :SIDE]
DISC = (NEAR[0] - 64) ** 2 + (NEAR[1] - 64) ** 2 < 21**2


@dataclass
class PromptSchedule:
    """What a person does: on some frames boxes, clicks or masks of each object, on others corrections."""

    begin: dict[int, list[FramePrompts]]
    correct: dict[int, list[list[FramePrompts]]] = field(default_factory=dict)
    done: int = 0

    @property
    def starts(self) -> tuple[int, ...]:
        return tuple(self.begin)

    def first(self, index: int) -> Clicks | Tensor:
        self.done = 0
        if self.begin[index][0].mask is not None:
            return torch.from_numpy(np.stack([p.mask for p in self.begin[index]])[:, None].astype(np.float32))
        return together(self.begin[index])

    def corrections(self, index: int) -> int:
        self.done = 0
        return len(self.correct.get(index, ()))

    def correction(self, index: int, outlines: np.ndarray) -> Clicks:
        self.done += 1
        return together(self.correct[index][self.done - 1])


def together(prompts: list[FramePrompts]) -> Clicks:
    points, labels = [], []
    for one in prompts:
        corners = [] if one.box is None else [one.box[:2], one.box[2:]]
        points.append([*corners, *one.points.tolist()])
        labels.append([*([2, 3] if corners else []), *one.labels.astype(int).tolist()])
    return Clicks(torch.tensor(points, dtype=torch.float32), torch.tensor(labels, dtype=torch.int32))


def click(x: float, y: float, inside: bool = True) -> FramePrompts:
    return FramePrompts(np.array([[x, y]]), np.array([inside]))


CASES: dict[str, tuple[PromptSchedule, MemoryPolicy]] = {
    "box": (PromptSchedule({0: [FramePrompts(box=BOX)]}), FrameWindow()),
    "one click": (PromptSchedule({0: [click(64, 64)]}), FrameWindow()),
    "mask": (PromptSchedule({0: [FramePrompts(mask=DISC)]}), FrameWindow()),
    "two objects": (PromptSchedule({0: [FramePrompts(box=BOX), FramePrompts(box=OTHER_BOX)]}), FrameWindow()),
    "clicks that correct the first frame": (
        PromptSchedule({0: [click(64, 64)]}, {0: [[click(50, 50)], [click(90, 90, False)]]}), FrameWindow(),
    ),
    "box corrected on the first frame, a later frame corrected": (
        PromptSchedule({0: [FramePrompts(box=BOX)]}, {0: [[click(50, 50)]], 3: [[click(60, 70)]]}), FrameWindow(),
    ),
    "two prompted frames": (PromptSchedule({0: [FramePrompts(box=BOX)], 5: [click(50, 74)]}), FrameWindow()),
    "stride": (PromptSchedule({0: [FramePrompts(box=BOX)]}), FrameWindow(stride=2)),
    "efficient frame pruning": (PromptSchedule({0: [FramePrompts(box=BOX)]}), EfficientFramePruning()),
}  # fmt: skip


def tracked(network: object, policy: MemoryPolicy, script: PromptSchedule) -> list[np.ndarray]:
    """Logits (O, 4 f, 4 f) of each frame by our tracker, told the same; memories in fp32."""
    settings = TrackerSettings(frames=FRAMES, memory=torch.float32)
    tracker = MemoryTracker(network, CPU, policy, settings)  # type: ignore[arg-type]
    frames, found = moving_frames(FRAMES, SIDE), {}
    count = len(next(iter(script.begin.values())))

    def logits() -> np.ndarray:
        return np.stack([tracker.logits(str(n)).numpy() for n in range(count)])

    def all_objects(told: list[FramePrompts]) -> np.ndarray:
        for n in range(count):
            tracker.point(str(n), told[n])
        return logits()

    for index in [*script.begin, *(n for n in range(FRAMES) if n not in script.begin)]:
        tracker.look(Frame.of(frames[index], index=index))
        if index in script.begin:
            found[index] = all_objects(script.begin[index])
        else:
            tracker.track()
            found[index] = logits()
        for told in script.correct.get(index, ()):
            found[index] = all_objects(told)
    return [found[index] for index in range(FRAMES)]


def embedded(network: object) -> list[Sam2Maps]:
    profile = sam2_video(SIDE)
    frames = moving_frames(FRAMES, SIDE)
    return [network.embed(torch.from_numpy(profile.prepare(Frame.of(f))[0])[None]) for f in frames]  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", list(Sam2Version))
@pytest.mark.parametrize("case", CASES)
def test_answers_are_the_trackers(case: str, version: Sam2Version) -> None:
    script, policy = CASES[case]
    network = tiny_sam2(version, SIDE)
    with torch.no_grad():
        objects = len(next(iter(script.begin.values())))
        mine = sequence_decodings(network, policy, embedded(network), script, objects)
    theirs = tracked(network, policy, script)
    worst = max(
        float(np.abs(a.last.best[:, 0].numpy() - b).max()) for a, b in zip(mine, theirs, strict=True)
    )  # fmt: skip
    print(f"SAM {version}, {case}: max abs difference of logits {worst:.1e}")
    assert worst < 1e-4, worst


PARTS = (
    "vision_encoder",
    "prompt_encoder",
    "mask_decoder",
    "memory_attention",
    "memory_encoder",
    "object_pointer_proj",
)
TABLES = ("memory_temporal_positional_encoding", "no_memory_embedding")


def test_gradients_from_the_last_frame_reach_every_part() -> None:
    network = tiny_sam2(side=SIDE)
    network.train()
    truth = np.stack([DISC] * 4)[None]
    prompting = SequencePrompting(pointed=1.0, box=1.0, most_starts=1, corrected=0)
    prompts = SimulatedPrompts.drawn(np.random.default_rng(0), truth, prompting, torch.device("cpu"))
    frames = sequence_decodings(network, FrameWindow(), embedded(network)[:4], prompts, 1)
    frames[-1].last.logits.sum().backward()
    host = network.host
    for name in PARTS:
        total = sum(float(p.grad.abs().sum()) for p in host.get_submodule(name).parameters() if p.grad is not None)
        assert total > 0, name
    assert all(getattr(host, name).grad.abs().sum() > 0 for name in TABLES)


def test_objects_called_absent_are_hidden_and_remembered_as_such() -> None:
    network = tiny_sam2(side=SIDE)
    with torch.no_grad():
        network.host.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(-9.0)
        frames = sequence_decodings(
            network, FrameWindow(), embedded(network)[:3], PromptSchedule({0: [FramePrompts(box=BOX)]}), 1
        )
    assert all(float(frame.last.logits.max()) == -1024 for frame in frames)
    assert torch.equal(frames[1].last.pointers, network.host.no_object_pointer)


def test_prompts_are_drawn_as_the_released_configuration_says() -> None:
    rng, truth = np.random.default_rng(0), np.stack([np.stack([DISC] * 8)] * 2)
    drawn = [SimulatedPrompts.drawn(rng, truth, SequencePrompting(), torch.device("cpu")) for _ in range(400)]
    assert all(one.starts[0] == 0 and len(set(one.starts)) == len(one.starts) <= 2 for one in drawn)
    assert 0.4 < np.mean([one.given_masks for one in drawn]) < 0.6
    assert 0.4 < np.mean([len(one.starts) == 2 for one in drawn]) < 0.6
    for one in drawn:
        assert not one.corrected if one.given_masks else set(one.starts) <= one.corrected and len(one.corrected) <= 2
    images = [SimulatedPrompts.drawn(rng, truth[:, :1], SequencePrompting(), torch.device("cpu")) for _ in range(50)]
    assert not any(one.given_masks for one in images) and all(one.starts == (0,) for one in images)


def test_clicks_fall_on_errors_and_absent_objects_are_pointed_at_negatively() -> None:
    rng, outline = np.random.default_rng(0), DISC.copy()
    outline[:, :64] = False
    outline[:10] = True
    for _ in range(40):
        (x, y), label = error_click(rng, outline, DISC)
        assert (outline ^ DISC)[int(y), int(x)] and label == DISC[int(y), int(x)]
    (x, y), label = error_click(rng, DISC, DISC)
    assert label == 0 and not DISC[int(y), int(x)]
    clicks = boxed(np.stack([DISC, np.zeros_like(DISC)]), torch.device("cpu"), rng)
    assert clicks.labels.tolist() == [[2, 3], [0, -1]]
