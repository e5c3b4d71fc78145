"""Every host that is open to adapters: a tiny network, the part with the slots, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from delineate.adapters.slots import AnySlot, DecoderSlot, EncoderSlot, MemorySlot, Slot, SlotContext
from delineate.models.edge_tam import EdgeTam, EdgeTamShape
from delineate.models.efficient_tam import CrossAttention, EfficientTam, TamShape
from delineate.models.sam import SamEncoder, SamPrompts
from delineate.models.sam2 import Sam2Maps
from tiny_networks import lively, tiny_sam, tiny_sam2

OBJECTS = torch.tensor([[10.0, 20, 80, 90], [60, 50, 190, 200], [5, 5, 250, 250]])
ENCODER = (*Slot, *EncoderSlot)


def drawn(seed: int, *size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def _embedded(network: nn.Module, *context: SlotContext) -> Tensor:
    found = network.embed(drawn(1, 1, 3, 256, 256), *context)  # type: ignore[operator]
    return found.coarse if isinstance(found, Sam2Maps) else found


def _decoded(network: nn.Module, *context: SlotContext) -> Tensor:
    """Three objects on one embedding."""
    return network.decode(drawn(3, 1, 256, 16, 16), SamPrompts(boxes=OBJECTS), True, *context)[0]  # type: ignore[operator]


def _decoded2(network: nn.Module, *context: SlotContext) -> Tensor:
    """Three objects, each with its own map."""
    maps = Sam2Maps(
        drawn(4, 1, 256, 16, 16), (drawn(5, 1, 32, 64, 64), drawn(6, 1, 64, 32, 32)), drawn(7, 1, 256, 16, 16)
    )
    labels = torch.tensor([[2, 3]] * 3, dtype=torch.int32)
    coarse, corners = drawn(8, 3, 256, 16, 16), OBJECTS.view(3, 2, 2)
    return network.decode(coarse, maps, corners, labels, None, True, *context).logits  # type: ignore[operator]


def _remembered(network: nn.Module, *context: SlotContext) -> Tensor:
    """Three objects, two frames, eight tokens of pointers."""
    maps = Sam2Maps(drawn(4, 1, 256, 16, 16), (torch.zeros(1), torch.zeros(1)), drawn(7, 1, 256, 16, 16))
    tokens = 2 * len(network.memory_places(maps)) + 8  # type: ignore[operator]
    return network.with_memory(maps, drawn(2, 3, tokens, 64), drawn(9, 3, tokens, 64), 2, 8, *context)  # type: ignore[operator]


@dataclass(frozen=True)
class HostCase:
    """make: a network; part: the name of what has the slots; ask: what it answers; exported: the file it is in."""

    make: Callable[[], nn.Module]
    part: str
    slots: tuple[AnySlot, ...]
    ask: Callable[..., Tensor]
    exported: str


def _present(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        network.host.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(3.0)  # type: ignore[union-attr]
    return network


def edge_tam() -> nn.Module:
    return _present(lively(EdgeTam(EdgeTamShape(256))))


def efficient_tam(attention: CrossAttention = CrossAttention.FULL) -> nn.Module:
    return _present(lively(EfficientTam(TamShape(side=256, attention=attention))))


HOSTS: dict[str, HostCase] = {
    "SAM's ViT": HostCase(tiny_sam, "vision_encoder", ENCODER, _embedded, "encoder"),
    "EfficientTAM's ViT": HostCase(efficient_tam, "vision_encoder", ENCODER, _embedded, "encoder"),
    "TinyViT": HostCase(lambda: tiny_sam(SamEncoder.TINY_VIT), "vision_encoder", ENCODER, _embedded, "encoder"),
    "Hiera": HostCase(tiny_sam2, "vision_encoder", ENCODER, _embedded, "encoder"),
    "SAM's decoder": HostCase(tiny_sam, "mask_decoder", tuple(DecoderSlot), _decoded, "decoder"),
    "SAM 2's decoder": HostCase(tiny_sam2, "mask_decoder", tuple(DecoderSlot), _decoded2, "decoder"),
    "EdgeTAM's decoder": HostCase(edge_tam, "mask_decoder", tuple(DecoderSlot), _decoded2, "decoder"),
    "SAM 2's memory": HostCase(tiny_sam2, "memory_attention", tuple(MemorySlot), _remembered, "memory_attention"),
    "EdgeTAM's memory": HostCase(edge_tam, "memory_attention", tuple(MemorySlot), _remembered, "memory_attention"),
    "EfficientTAM's memory": HostCase(
        lambda: efficient_tam(CrossAttention.POOLED_1),
        "memory_attention",
        tuple(MemorySlot),
        _remembered,
        "memory_attention",
    ),
}
