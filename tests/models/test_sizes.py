"""Sizes that follow from a network's side, and the constant in which host and published code differ."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from pydantic import ValidationError  # noqa: E402

from delineate.models.sam2 import Sam2, Sam2Shape  # noqa: E402
from delineate.models.sizes import NetworkSizes  # noqa: E402
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


VIT = {"width": 32, "depth": 2, "heads": 2, "global_blocks": (1,)}
HIERA = {"width": 32, "heads": 1, "stages": (1, 1, 2, 1), "windows": (8, 4, 4, 2)}


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param({"side": 100}, id="cells"),
        pytest.param({"vit": {**VIT, "heads": 3}}, id="heads"),
        pytest.param({"vit": {**VIT, "global_blocks": (2,)}}, id="blocks"),
        pytest.param({"hiera": {**HIERA, "heads": 3}}, id="hiera-heads"),
        pytest.param({"hiera": {**HIERA, "global_blocks": (-1,)}}, id="hiera-blocks"),
        pytest.param({"hiera": {**HIERA, "windows": (7, 4, 4, 2)}}, id="hiera-windows"),
    ],
)
def test_sizes_that_no_network_can_have_are_no_sizes(sizes: dict) -> None:
    """A file's header that has them is damaged: refused before anything is built."""
    assert not NetworkSizes.model_validate({"side": 96, "vit": VIT, "hiera": HIERA}).is_published
    with pytest.raises(ValidationError):
        NetworkSizes.model_validate(sizes)


def test_the_decoder_of_sam_has_the_published_epsilon() -> None:
    norms = [m for m in tiny_sam().host.mask_decoder.transformer.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert len(norms) == 9 and {norm.eps for norm in norms} == {1e-5}
