"""Modules in every slot of every host: in training, in use, in bf16 and exported; in order; asking their context."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("transformers")

from delineate.adapters.slots import (
    AnySlot,
    Blocks,
    DecoderSlot,
    EncoderSlot,
    Insertion,
    MemorySlot,
    Replaced,
    Slot,
    SlotContext,
    Slotted,
    Taps,
    insert,
    put,
    remove,
)
from delineate.core.errors import ModelError
from delineate.models.sam import SamEncoder, SamPrompts
from delineate.training.activations import forget_activations
from host_cases import HOSTS, OBJECTS, HostCase, drawn
from tiny_networks import tiny_sam, tiny_sam2

ALIKE = ("EdgeTAM's decoder", "EdgeTAM's memory", "EfficientTAM's memory")  # layers of SAM 2's: one slot stands for all
EACH = [
    pytest.param(name, slot, id=f"{name}, {slot.name}")
    for name, case in HOSTS.items()
    for slot in case.slots[: 1 if name in ALIKE else None]
]
ROUNDING = 3e-2  # of bf16, of the largest value


class Marker(nn.Module):
    """Adds to what is there, or would be there without it, some of the next channel: a norm does not undo that."""

    def __init__(self, gain: float = 0.5) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.contexts: list[SlotContext] = []

    def forward(self, x: Any, *given: Any) -> Any:
        self.contexts.append(given[-1])
        made = given[0](x) if isinstance(given[0], Replaced) else x
        return (tuple(map(self._changed, made[0])), made[1]) if isinstance(made, tuple) else self._changed(made)

    def _changed(self, x: Tensor) -> Tensor:
        return x + self.gain * x.roll(1, dims=-1)


def part_of(network: nn.Module, case: HostCase) -> nn.Module:
    return network.host.get_submodule(case.part)  # type: ignore[union-attr]


def marked(network: nn.Module, case: HostCase, *slots: AnySlot, gain: float = 0.5) -> list[Marker]:
    """Markers in slots of a part of a network."""
    made: list[Marker] = []

    def make(*_: int) -> Marker:
        made.append(Marker(gain))
        return made[-1]

    insert(part_of(network, case), *(Insertion(slot, make) for slot in slots))
    return made


def away(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).norm() / other.float().norm())


def answers(network: nn.Module, case: HostCase) -> tuple[Tensor, Tensor]:
    """In use, in fp32 and in bf16."""
    with torch.inference_mode():
        full = case.ask(network)
        with torch.autocast("cpu", torch.bfloat16):
            return full, case.ask(network)


@lru_cache(maxsize=1)
def with_empty_slots(name: str) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A host's network and its answers, made once for its slots; copy it before anything is put in."""
    network = HOSTS[name].make()
    return network, answers(network, HOSTS[name])


@pytest.mark.parametrize(("name", "slot"), EACH)
def test_what_is_in_a_slot_runs_in_training_in_use_and_in_bf16(name: str, slot: AnySlot) -> None:
    case, (made, (empty, low_empty)) = HOSTS[name], with_empty_slots(name)
    network = deepcopy(made)
    names = set(network.state_dict())
    markers = marked(network, case, slot)
    trained = case.ask(network)
    trained.square().mean().backward()
    assert all(marker.contexts and float(marker.gain.grad.abs()) > 0 for marker in markers)  # type: ignore[union-attr]
    used, low = answers(network, case)
    effect = away(trained.detach(), empty)
    assert effect > 1e-4, f"no effect: {effect:.1e}"
    assert away(used, trained.detach()) < min(1e-3, effect / 10)
    assert away(low, low_empty) > effect / 2
    assert away(low, used) < ROUNDING + 3 * away(low_empty, empty)
    assert names < set(network.state_dict())
    added = {key.rpartition(".gain")[0].rpartition(".")[2] for key in set(network.state_dict()) - names}
    assert added == {slot.value}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in HOSTS.items()])
def test_what_is_in_the_slots_is_exported(case: HostCase, tmp_path: Path) -> None:
    """All slots at once, each with an effect well above what the file may be away."""
    pytest.importorskip("onnx")
    from delineate.predictors.export.bundle import compared
    from delineate.predictors.export.image_encoder import encoder_part, write_part
    from delineate.predictors.export.parts import parts_of

    network = case.make().requires_grad_(False)
    marked(network, case, *case.slots, gain=0.05)
    parts = (encoder_part(network), *parts_of(network))  # type: ignore[arg-type]
    part = next(part for part in parts if part.name == case.exported)
    path = tmp_path / f"{part.name}.onnx"
    write_part(part, path)
    found = compared(part, path)
    for output, difference in found["max_difference"].items():
        assert difference < 1e-3 * max(found["max_value"][output], 0.1), f"{output}: {difference:.1e}"


GRIDS = {  # by the number of blocks, of what goes into each; where a stage begins it is the finer map
    3: [16] * 3,
    12: [16] * 12,
    10: [32] * 2 + [16] * 8,
    8: [64, 64, 32, 32, 16, 16, 16, 8],
}


class Noting(nn.Module):
    """Changes nothing; notes that it was asked."""

    def __init__(self, name: str, into: list[str]) -> None:
        super().__init__()
        self.name, self.into = name, into

    def forward(self, x: Any, *given: Any) -> Any:
        self.into.append(self.name)
        return given[0](x) if isinstance(given[0], Replaced) else x


ORDERED = [
    pytest.param("SAM's ViT", Slot.BEFORE, ["one", "two", "three"], id="changing"),
    pytest.param("SAM's ViT", Slot.MLP_PARALLEL, ["one", "two", "three"], id="beside"),
    pytest.param("SAM's decoder", DecoderSlot.HYPER, ["one", "two", "three"], id="decoder"),
    pytest.param("SAM's ViT", Slot.ATTENTION, ["three", "two", "one"], id="replacing, the last around the others"),
    pytest.param("SAM's ViT", EncoderSlot.NECK, ["three", "two", "one"], id="replacing the neck"),
]


@pytest.mark.parametrize(("name", "slot", "wanted"), ORDERED)
def test_several_modules_in_a_slot_run_in_order(name: str, slot: AnySlot, wanted: list[str]) -> None:
    case, asked = HOSTS[name], list[str]()
    network = case.make()
    block = next(m for m in part_of(network, case).modules() if isinstance(m, Slotted) and m.has(slot))
    for number in ("one", "two", "three"):
        put(block, slot, Noting(number, asked))
    with torch.inference_mode():
        case.ask(network)
    assert asked == wanted
    assert [type(m) for m in block.filling(slot)] == [Noting] * 3


@pytest.mark.parametrize("case", [pytest.param(c, id=n) for n, c in HOSTS.items() if c.part == "vision_encoder"])
def test_modules_in_an_encoder_can_ask_for_the_clip_the_grid_and_a_branch(case: HostCase) -> None:
    network = case.make()
    markers = marked(network, case, Slot.AFTER, gain=0.0)
    taps = Taps((0, len(markers) - 1))
    context = SlotContext(3, torch.tensor([[True, True, False]]), (5.0, 1.0, 1.0), {"edges": torch.ones(1)}, taps)
    with torch.inference_mode():
        plain, tapped = case.ask(network), case.ask(network, context)
    assert torch.equal(plain, tapped)
    asked = [marker.contexts[-1] for marker in markers]
    assert [one.block for one in asked] == list(range(len(markers)))
    assert all(one.depth == 3 and one.spacing == (5.0, 1.0, 1.0) and one.prompt is None for one in asked)
    assert all(one.valid is context.valid and one.branch is context.branch for one in asked)
    assert set(taps.tokens) == {0, len(markers) - 1}
    assert all(one.grid == (side, side) for one, side in zip(asked, GRIDS[len(asked)], strict=True))
    assert taps.tokens[0].ndim == 4 and taps.tokens[len(markers) - 1].shape[1:3] == (GRIDS[len(asked)][-1],) * 2


def test_modules_in_a_decoder_can_ask_for_the_prompt_and_the_grid() -> None:
    case = HOSTS["SAM's decoder"]
    network = case.make()
    markers = marked(network, case, DecoderSlot.HYPER)
    with torch.inference_mode():
        case.ask(network, SlotContext(branch={"edges": torch.ones(1)}))
    asked = [marker.contexts[0] for marker in markers]
    assert [one.block for one in asked] == [0, 1] and all(one.grid == (16, 16) for one in asked)
    assert all(one.prompt is not None and one.prompt.shape == (3, 2, 256) for one in asked)
    assert all("edges" in one.branch for one in asked)


class FromPrompt(nn.Module):
    """Makes the image of each object another one."""

    def forward(self, x: Tensor, context: SlotContext) -> Tensor:
        assert context.prompt is not None
        return x + context.prompt.mean(dim=1, keepdim=True)


def test_objects_stay_apart_where_an_adapter_makes_their_images_differ() -> None:
    network = tiny_sam()
    insert(network.host.mask_decoder, Insertion(DecoderSlot.IMAGE_UPDATE, lambda *_: FromPrompt()))
    embedding = drawn(3, 1, 256, 16, 16)
    with torch.inference_mode():
        together = network.decode(embedding, SamPrompts(boxes=OBJECTS), True)[0]
        for n in range(3):
            alone = network.decode(embedding, SamPrompts(boxes=OBJECTS[n : n + 1]), True)[0]
            assert away(together[n], alone[0]) < 1e-3


class OfTheClip(nn.Module):
    """The mean over the slices of a volume, through the block's own attention where it is beside it."""

    def forward(self, x: Tensor, *given: Any) -> Tensor:
        clip = x.unflatten(0, (-1, given[-1].depth))
        return x + clip.mean(dim=1, keepdim=True).expand_as(clip).flatten(0, 1)


def test_recomputed_activations_give_the_same_gradients() -> None:
    """The context is there again on the way back."""
    gradients = []
    for checkpointing in (False, True):
        network = tiny_sam()
        insert(network.host.vision_encoder, Insertion(Slot.BEFORE, lambda *_: OfTheClip()))
        if checkpointing:
            forget_activations(network.host.vision_encoder)
        network.embed(drawn(1, 2, 3, 256, 256), SlotContext(depth=2)).square().mean().backward()
        gradients.append(network.host.vision_encoder.patch_embed.projection.weight.grad)
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-9) and float(gradients[0].abs().max()) > 0


CHOSEN = [
    pytest.param(Blocks.ALL, [0, 1, 2], id="all"),
    pytest.param(Blocks.GLOBAL, [2], id="global"),
    pytest.param(Blocks.WINDOWED, [0, 1], id="windowed"),
    pytest.param((1,), [1], id="numbers"),
]


@pytest.mark.parametrize(("blocks", "wanted"), CHOSEN)
def test_a_plan_says_which_blocks(blocks: Blocks | tuple[int, ...], wanted: list[int]) -> None:
    encoder = tiny_sam().host.vision_encoder
    insert(encoder, Insertion(Slot.AFTER, nn.Linear, blocks))
    assert [n for n, layer in enumerate(encoder.layers) if list(layer.filling(Slot.AFTER))] == wanted


def test_what_was_taken_out_leaves_nothing_behind() -> None:
    network = tiny_sam()
    encoder, pixels = network.host.vision_encoder, torch.randn(1, 3, network.shape.side, network.shape.side)
    with torch.no_grad():
        before, names = network.embed(pixels), set(network.state_dict())
        for slot in (Slot.BEFORE, Slot.BEFORE, Slot.AFTER):
            insert(encoder, Insertion(slot, lambda *_: Marker()))
        assert not torch.equal(network.embed(pixels), before)
        remove(encoder, Slot.BEFORE)
        left = {name for name in network.state_dict() if name not in names}
        assert left and all(".after." in name for name in left)
        remove(encoder, Slot.AFTER, DecoderSlot.HYPER)
        assert set(network.state_dict()) == names and torch.equal(network.embed(pixels), before)


def test_modules_are_made_for_the_widths_before_and_behind_pooling() -> None:
    encoder = tiny_sam2().host.vision_encoder
    slots = (Slot.BEFORE, Slot.ATTENTION_PARALLEL, Slot.AFTER)
    insert(encoder, *(Insertion(slot, nn.Linear, (1,)) for slot in slots))
    made = [module for slot in slots for module in encoder.backbone.blocks[1].filling(slot)]
    found = [(linear.in_features, linear.out_features) for linear in made]
    assert found == [(16, 16), (16, 32), (32, 32)]


REFUSED = [
    pytest.param(
        lambda: tiny_sam().host.vision_encoder, DecoderSlot.HYPER, Blocks.ALL, "Slot.BEFORE", id="a decoder's slot"
    ),
    pytest.param(lambda: tiny_sam().host.prompt_encoder, Slot.BEFORE, Blocks.ALL, "no slots at all", id="no slots"),
    pytest.param(lambda: tiny_sam().host.mask_decoder, DecoderSlot.HYPER, (2,), "0 to 1", id="no such block"),
    pytest.param(
        lambda: tiny_sam(SamEncoder.TINY_VIT).host.vision_encoder,
        MemorySlot.BEFORE,
        Blocks.ALL,
        "Slot.MLP_PARALLEL",
        id="same name",
    ),
]


@pytest.mark.parametrize(("make", "slot", "blocks", "hint"), REFUSED)
def test_what_a_host_lacks_is_refused(make: Any, slot: AnySlot, blocks: Any, hint: str) -> None:
    with pytest.raises(ModelError) as caught:
        insert(make(), Insertion(slot, nn.Linear, blocks))
    assert caught.value.code == "E-SLOT" and hint in (caught.value.hint or "")


def test_a_context_can_be_taken_further() -> None:
    context = SlotContext(depth=4)
    assert replace(context, block=2).depth == 4 and context.block == 0
