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

from delineate.memory.tracker import MemoryTracker, TrackerSettings
from delineate.models.sam2 import Sam2Version
from delineate.placing import FramePrompts
from delineate.preprocess.profiles import sam2_video
from delineate.runtimes.engine import Engine

FRAMES = 20
CPU = Engine(torch.device("cpu"), "fp32")  # type: ignore[arg-type]
CASES = {
    "one click": ([(128.0, 128.0)], [1]),
    "three clicks": ([(128.0, 128.0), (100.0, 140.0), (30.0, 30.0)], [1, 1, 0]),
    "box": ([(80.0, 80.0), (180.0, 190.0)], [2, 3]),
}


def prompts(points: list[tuple[float, float]], labels: list[int]) -> FramePrompts:
    if labels[0] == 2:
        return FramePrompts(box=(*points[0], *points[1]))
    return FramePrompts(np.array(points), np.array(labels, dtype=bool))


def hosted(network, frames: list, points: list, labels: list[int]) -> list[torch.Tensor]:
    pixels = torch.stack([torch.from_numpy(sam2_video(network.side).prepare(f)[0]) for f in frames])
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
    return [first, *rest[1:]]


@pytest.mark.parametrize("version", list(Sam2Version))
@pytest.mark.parametrize("case", CASES)
def test_follows_as_the_host_does(case: str, version: Sam2Version) -> None:
    network, frames = tiny_sam2(version), moving_frames(FRAMES)
    points, labels = CASES[case]
    wanted = hosted(network, frames, points, labels)
    tracker = MemoryTracker(network, CPU, settings=TrackerSettings(frames=FRAMES))
    tracker.look(frames[0], 0)
    found = [tracker.add("one", prompts(points, labels)).logits]
    found += [tracker.push(frame)["one"].logits for frame in frames[1:]]
    differences = [float((a - b.squeeze()).abs().max()) for a, b in zip(found, wanted, strict=True)]
    scale = max(float(w.abs().max()) for w in wanted)
    assert max(differences) < 2e-3 * scale, f"max abs difference {max(differences):.1e} of {scale:.0f}: {differences}"
    print(f"{case}, SAM {version}: max abs difference {max(differences):.1e}, logits up to {scale:.0f}")
