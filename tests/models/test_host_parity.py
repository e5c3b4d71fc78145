"""SAM's encoder in chunks against the host library's own, live, on shared random weights."""

from __future__ import annotations

import pytest
import torch

from tiny_networks import tiny_sam

pytest.importorskip("transformers")

from transformers import SamModel

from delineate.models.sam import SamPrompts

PROMPTS = {
    "point": ([[100.0, 120.0]], [1], None),
    "two points": ([[100.0, 120.0], [30.0, 40.0]], [1, 0], None),
    "box": (None, None, [60.0, 50.0, 190.0, 200.0]),
    "box and point": ([[100.0, 120.0]], [1], [60.0, 50.0, 190.0, 200.0]),
}


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("name", PROMPTS)
@torch.no_grad()
def test_sam_answers_as_the_host_does(name: str, side: int) -> None:
    """512 px: more than one chunk of queries."""
    network = tiny_sam(side=side)
    host = SamModel(network.host.config).eval()
    host.load_state_dict(network.host.state_dict())
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    points, labels, box = PROMPTS[name]
    given = SamPrompts(
        None if points is None else torch.tensor([points]),
        None if labels is None else torch.tensor([labels]),
        None if box is None else torch.tensor([box]),
    )
    embedding = network.embed(pixels)
    logits, iou = network.decode(embedding, given, multimask=True)
    wanted = host(
        pixel_values=pixels,
        input_points=None if points is None else torch.tensor([[points]]),
        input_labels=None if labels is None else torch.tensor([[labels]]),
        input_boxes=None if box is None else torch.tensor([[box]]),
        multimask_output=True,
    )
    hosted = host.get_image_embeddings(pixels)
    assert float((embedding - hosted).abs().max()) < 1e-5 * float(hosted.abs().max())
    difference = float((logits - wanted.pred_masks[0]).abs().max())
    largest = float(wanted.pred_masks.abs().max())
    assert difference < 1e-3 * largest, f"max abs difference {difference:.1e} of {largest:.2g}"
    assert torch.allclose(iou, wanted.iou_scores[0], atol=1e-4)


@torch.no_grad()
def test_objects_in_one_call_are_objects_one_by_one() -> None:
    network = tiny_sam()
    embedding = network.embed(torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(2)))
    boxes = torch.tensor([[10.0, 20, 80, 90], [60, 50, 190, 200], [5, 5, 250, 250]])
    together = network.decode(embedding, SamPrompts(boxes=boxes), multimask=True)[0]
    for n in range(3):
        alone = network.decode(embedding, SamPrompts(boxes=boxes[n : n + 1]), multimask=True)[0]
        assert float((together[n] - alone[0]).abs().max()) < 1e-3 * float(alone.abs().max())
