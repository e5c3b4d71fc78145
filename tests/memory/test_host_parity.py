"""The tracker against the host library's own video session, live, on shared random weights.

Only where the host does what the original does: one prompt an object, points or a box, forwards. What it does
differently (mask prompts, clicks that correct) is compared with reference tensors of the original elsewhere.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tiny_networks import moving_frames, tiny_sam2

pytest.importorskip("transformers")

from transformers import Sam2VideoInferenceSession

from delineate.compute.engine import Engine, Precision
from delineate.core.frame import Frame
from delineate.core.resolve import FramePrompts
from delineate.memory.bank import Memory
from delineate.models.sam2 import Sam2, Sam2Version
from delineate.preprocess.profiles import sam2_video
from delineate.tracking.memory_tracker import MemoryTracker, TrackerSettings

FRAMES = 20
CPU = Engine(torch.device("cpu"), Precision.FP32)
CASES = {
    "one click": ([(128.0, 128.0)], [1]),
    "three clicks": ([(128.0, 128.0), (100.0, 140.0), (30.0, 30.0)], [1, 1, 0]),
    "box": ([(80.0, 80.0), (180.0, 190.0)], [2, 3]),
}


def prompts(points: list[tuple[float, float]], labels: list[int]) -> FramePrompts:
    if labels[0] == 2:
        return FramePrompts(box=(*points[0], *points[1]))
    return FramePrompts(np.array(points), np.array(labels, dtype=bool))


def hosted(network: Sam2, frames: list, points: list, labels: list[int]) -> tuple[list[torch.Tensor], dict]:
    """Low-resolution logits of each frame, and what the host stored."""
    pixels = torch.stack([torch.from_numpy(sam2_video(network.side).prepare(Frame.of(f))[0]) for f in frames])
    session = Sam2VideoInferenceSession(video=pixels, video_height=256, video_width=256, dtype=torch.float32)
    object_index = session.obj_id_to_idx(1)
    session.add_point_inputs(
        object_index,
        0,
        {"point_coords": torch.tensor([[points]]), "point_labels": torch.tensor([[labels]], dtype=torch.int32)},
    )
    session.obj_with_new_inputs = [1]
    first = network.host(session, frame_idx=0).pred_masks
    rest = [o.pred_masks for o in network.host.propagate_in_video_iterator(session, start_frame_idx=0)]
    return [first, *rest[1:]], session.output_dict_per_obj[0]


def stored(output: dict, index: int) -> Memory:
    remembered = output["maskmem_features"][:, 0]
    present = float(output["object_score_logits"])
    return Memory(index, remembered, output["object_pointer"].reshape(-1), present, 1.0)


@pytest.mark.parametrize("version", list(Sam2Version))
@pytest.mark.parametrize("case", CASES)
def test_follows_as_the_host_does(case: str, version: Sam2Version) -> None:
    """Each frame from the memories the host had, so that rounding does not add up; then what is remembered of it."""
    network, frames = tiny_sam2(version), moving_frames(FRAMES)
    points, labels = CASES[case]
    wanted, outputs = hosted(network, frames, points, labels)
    tracker = MemoryTracker(network, CPU, settings=TrackerSettings(frames=FRAMES))
    tracker.look(Frame.of(frames[0], index=0))
    tracker.point("one", prompts(points, labels))
    differences = [_difference(tracker.logits("one"), wanted[0])]
    remembered, pointed = [], []
    for index in range(1, FRAMES):
        bank = tracker.bank("one")
        bank.prompted = {0: stored(outputs["cond_frame_outputs"][0], 0)}
        bank.tracked = {i: stored(outputs["non_cond_frame_outputs"][i], i) for i in range(1, index)}
        tracker.look(Frame.of(frames[index], index=index))
        tracker.track()
        differences.append(_difference(tracker.logits("one"), wanted[index]))
        mine, theirs = bank.tracked[index], stored(outputs["non_cond_frame_outputs"][index], index)
        assert mine.tokens is not None and theirs.tokens is not None
        remembered.append(_difference(mine.tokens.float(), theirs.tokens.float()) / float(theirs.tokens.abs().max()))
        pointed.append(_difference(mine.pointer, theirs.pointer))
    found = f"logits {max(differences):.1e}, memory (relative, bf16) {max(remembered):.1e}, pointers {max(pointed):.1e}"
    print(f"SAM {version}, {case}: max abs differences: {found}")
    assert max(differences) < 2e-3 and max(pointed) < 2e-3 and max(remembered) < 1 / 128, found  # bf16


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other.squeeze()).abs().max())
