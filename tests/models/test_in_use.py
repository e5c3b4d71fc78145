"""Networks in use (folded, lean, bf16) against the same networks as they are trained, on shared random weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tiny_networks import tiny_sam, tiny_sam2

pytest.importorskip("transformers")

from delineate.compute.engine import Engine, Precision
from delineate.models.rep_vit import RepViT, RepViTConfig
from delineate.models.sam import SamPrompts
from delineate.models.sam2 import Sam2Maps
from delineate.models.tiny_vit import TinyViT, TinyViTConfig

TINY = TinyViTConfig(side=64, widths=(32, 32, 64, 64), depths=(1, 1, 1, 1))
CONVOLUTIONAL = {
    "TinyViT": lambda: TinyViT(TINY),
    "RepViT": lambda: RepViT(RepViTConfig((16, 16, 32, 32), (1, 1, 2, 1))),
}
HEADS = 1e-3  # these heads have random weights and make much of rounding: 1e-4 to 4e-4 between fp32 and fp64
BF16 = Engine(torch.device("cpu"), Precision.BF16)


def shaken(network: nn.Module) -> nn.Module:
    """Random weights and statistics of every batch norm."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / 5)
            for tensor in (module.running_var, module.weight.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network.eval()


def picture(side: int) -> Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def last(found: Tensor | list[Tensor]) -> Tensor:
    return (found if isinstance(found, Tensor) else found[-1]).detach().float()


def away(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_folded_convolutions_are_those_trained(name: str) -> None:
    torch.manual_seed(0)
    network = shaken(CONVOLUTIONAL[name]())
    wanted = last(network(picture(64)))
    with torch.inference_mode():
        found = last(network(picture(64)))
    assert away(found, wanted) < 1e-5, f"{name}: {away(found, wanted):.1e} of the largest value"


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_other_weights_answer_at_once(name: str) -> None:
    """What was folded for the weights before is not used again."""
    torch.manual_seed(0)
    network, other = shaken(CONVOLUTIONAL[name]()), shaken(CONVOLUTIONAL[name]())
    with torch.inference_mode():
        before = last(network(picture(64)))
        network.load_state_dict(other.state_dict())
        after, wanted = last(network(picture(64))), last(other(picture(64)))
        assert torch.equal(last(copy.deepcopy(network)(picture(64))), wanted)
    assert torch.equal(after, wanted) and not torch.equal(before, after)


def test_sam_in_bf16_is_sam() -> None:
    """Windows (bias within the product) and the whole image (bias added): rounding of bf16, no more."""
    network = tiny_sam(side=512)
    with torch.no_grad():
        for layer in network.host.vision_encoder.layers:
            layer.attn.rel_pos_h.normal_(0, 0.3)
            layer.attn.rel_pos_w.normal_(0, 0.3)
        wanted = network.embed(picture(512))
        BF16.cast_weights(network.host.vision_encoder)
        with BF16.encoding():
            found = network.embed(picture(512)).float()
    error = float((found - wanted).norm() / wanted.norm())
    assert error < 2e-2, f"relative error {error:.1e}"


OBJECTS = torch.tensor([[10.0, 20, 80, 90], [60, 50, 190, 200], [5, 5, 250, 250]])
PROMPTS = {
    "none": SamPrompts(),
    "points": SamPrompts(OBJECTS.view(3, 2, 2), torch.tensor([[1, 0], [1, 1], [1, -1]])),
    "boxes": SamPrompts(boxes=OBJECTS),
    "box and mask": SamPrompts(boxes=OBJECTS[:1], masks=torch.linspace(-9, 9, 64 * 64).view(1, 1, 64, 64)),
}


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("prompts", PROMPTS)
def test_sams_decoder_in_use_is_the_hosts(prompts: str, several: bool) -> None:
    """The host's decoder answers where gradients pass; objects share one embedding."""
    network, embedding = tiny_sam(), torch.randn(1, 256, 16, 16, generator=torch.Generator().manual_seed(3))
    wanted = network.decode(embedding, PROMPTS[prompts], several)
    with torch.inference_mode():
        found = network.decode(embedding, PROMPTS[prompts], several)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape and away(one, other.detach()) < HEADS


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("clicks", [0, 2])
def test_sam2s_decoder_in_use_is_the_hosts(clicks: int, several: bool) -> None:
    """Three objects, each with its own map; without clicks, from memory alone."""
    network = tiny_sam2()
    with torch.no_grad():
        maps: Sam2Maps = network.embed(picture(256))
    coarse = torch.randn(3, 256, 16, 16, generator=torch.Generator().manual_seed(4))
    points, labels = (OBJECTS.view(3, 2, 2), torch.ones(3, 2, dtype=torch.int32)) if clicks else (None, None)
    wanted = network.decode(coarse, maps, points, labels, multimask=several)
    with torch.inference_mode():
        found = network.decode(coarse, maps, points, labels, multimask=several)
    for name in ("logits", "iou", "pointers", "present"):
        assert away(getattr(found, name), getattr(wanted, name).detach()) < HEADS, name


def memories(count: int, frames: int, cells: int, pointers: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    size = (count, frames * cells**2 + pointers, 64)
    return torch.randn(size, generator=generator), torch.randn(size, generator=generator)


def test_memory_is_recalled_as_the_host_does() -> None:
    """Three objects, two frames, eight pointer tokens; the host computes where gradients pass."""
    network = tiny_sam2()
    maps = network.embed(picture(256))
    memory, places = memories(3, 2, 16, 8)
    wanted = network.with_memory(maps, memory, places, 2, 8).detach()
    with torch.inference_mode():
        found = network.with_memory(maps, memory, places, 2, 8)
    assert away(found, wanted) < 1e-5, f"{away(found, wanted):.1e} of the largest value"


def test_memory_in_bf16_is_the_same_memory() -> None:
    network = tiny_sam2()
    memory, places = memories(3, 2, 16, 8)
    answers = []
    with torch.no_grad():
        maps = network.embed(picture(256))
        for engine in (Engine(torch.device("cpu"), Precision.FP32), BF16):
            engine.cast_weights(network.host.memory_attention)
            with engine.encoding():
                answers.append(network.with_memory(maps, memory, places, 2, 8).float())
    error = float((answers[1] - answers[0]).norm() / answers[0].norm())
    assert error < 2e-2, f"relative error {error:.1e}"
