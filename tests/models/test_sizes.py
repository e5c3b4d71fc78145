"""Sizes that follow from a network's side, and the constant in which host and published code differ."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from delineate.models.sam2 import Sam2, Sam2Shape  # noqa: E402
from tiny_networks import TINY_HIERA, tiny_sam  # noqa: E402


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_every_size_of_sam2_follows_its_side(side: int) -> None:
    network = Sam2(Sam2Shape(side=side, hiera=TINY_HIERA)).eval()
    cells = side // 16
    with torch.inference_mode():
        maps = network.embed(torch.zeros(1, 3, side, side))
        answer = network.decode(network.without_memory(maps), maps, None, None)
    assert maps.coarse.shape == maps.places.shape == (1, 256, cells, cells)
    assert [level.shape[-1] for level in maps.fine] == [4 * cells, 2 * cells]
    assert tuple(network.host.prompt_encoder.mask_input_size) == (4 * cells, 4 * cells)
    assert network.host.memory_attention.position_ids.shape == (cells**2, 2)
    assert answer.logits.shape[-2:] == (4 * cells, 4 * cells)


def test_the_decoder_of_sam_has_the_published_epsilon() -> None:
    norms = [m for m in tiny_sam().host.mask_decoder.transformer.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert len(norms) == 9 and {norm.eps for norm in norms} == {1e-5}
