"""Where a few tokens look at an image, or it at them, its places are not projected: the same up to rounding."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from delineate.models.mask_decoder import TwoWayAttention  # noqa: E402
from delineate.models.sam import SamPrompts  # noqa: E402
from tiny_networks import tiny_sam  # noqa: E402


@pytest.mark.parametrize(("objects", "used"), [(1, 5), (2, 5), (3, 4)])
def test_the_answer_is_the_same(objects: int, used: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, calls = tiny_sam().eval(), []
    for name in ("_of_few_tokens", "_to_few_tokens"):
        short = getattr(TwoWayAttention, name)
        monkeypatch.setattr(TwoWayAttention, name, lambda *a, short=short: calls.append(1) or short(*a))
    embedding = torch.randn(1, 256, 16, 16, generator=torch.Generator().manual_seed(0))
    corners = torch.arange(objects)[:, None] * 9.0 + torch.tensor([[20.0, 30.0, 120.0, 90.0]])
    with torch.inference_mode():
        found, iou = network.decode(embedding, SamPrompts(boxes=corners), True)
    assert len(calls) == used  # keys that three objects share are projected once
    wanted, wanted_iou = network.decode(embedding, SamPrompts(boxes=corners), True)  # recorded: with the products
    assert len(calls) == used
    assert float((found - wanted).abs().max()) < 1e-3 * float(wanted.abs().max())  # fp32 itself is 2e-4 off here
    assert torch.allclose(iou, wanted_iou, atol=1e-4)


def test_a_layer_that_is_hooked_is_called() -> None:
    network, seen = tiny_sam().eval(), []
    layer = network.host.mask_decoder.transformer.layers[0].cross_attn_token_to_image
    layer.k_proj.register_forward_hook(lambda *_: seen.append(1))
    with torch.inference_mode():
        network.decode(torch.randn(1, 256, 16, 16), SamPrompts(boxes=torch.tensor([[20.0, 30.0, 120.0, 90.0]])), False)
    assert seen == [1]
