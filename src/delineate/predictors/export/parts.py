"""What comes after the image encoder, as modules an exporter can trace: prompts to outlines, and SAM 2's memory.

Names of inputs follow the ONNX export of the original SAM where it has them. Boxes are two points with the labels 2
and 3; prompts without a box end with the point (0, 0) of label -1, as in the original. O objects, N points, M
remembered frames and P object pointers may be any number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from delineate.models.edge_tam import EdgeTam
from delineate.models.efficient_tam import CrossAttention, EfficientTam
from delineate.models.medsam_text import MedSamText
from delineate.models.sam import Sam
from delineate.models.sam2 import Sam2, Sam2Maps

Axes = dict[str, tuple[str | int, ...]]


@dataclass(frozen=True, eq=False)
class NetworkPart:
    """One exported file.

    module   what is traced, by position
    inputs   name: its axes; a word is an axis of any length
    outputs  likewise
    example  inputs to trace with
    """

    name: str
    module: nn.Module
    inputs: Axes
    outputs: Axes
    example: tuple[Tensor, ...]

    def changed(self, seed: int = 1) -> tuple[Tensor, ...]:
        """Other inputs, their free axes one longer, to compare with."""
        generator = torch.Generator().manual_seed(seed)
        out = []
        for (name, axes), value in zip(self.inputs.items(), self.example, strict=True):
            size = [n + 1 if isinstance(axis, str) else n for axis, n in zip(axes, value.shape, strict=True)]
            if name == "point_labels":
                out.append(torch.randint(-1, 4, size, generator=generator).float())
            elif value.dtype.is_floating_point:
                out.append(torch.rand(size, generator=generator) * value.abs().max())
            else:
                out.append(torch.randint(0, 2, size, generator=generator).to(value.dtype))
        return tuple(out)


class _Prompts(nn.Module):
    """Labeled points and a mask as the decoder wants them: sparse (O, N, 256) and dense (O, 256, f, f)."""

    def __init__(self, encoder: Any, side: int) -> None:
        super().__init__()
        self.encoder, self.side = encoder, side

    def forward(self, points: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor) -> tuple[Tensor, Tensor]:
        encoder = self.encoder
        table = encoder.point_embed
        kinds = table.weight if isinstance(table, nn.Embedding) else torch.cat([kind.weight for kind in table])
        kind = labels.long()[..., None]
        placed = encoder.shared_embedding((points + 0.5) / self.side)
        known = torch.where(kind >= 0, kinds[labels.long().clamp(min=0)], torch.zeros_like(placed))
        sparse = torch.where(kind == -1, encoder.not_a_point_embed.weight, placed) + known
        without = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return sparse, torch.where(has_mask.view(-1, 1, 1, 1) > 0, encoder.mask_embed(mask), without)


class _SamDecoder(nn.Module):
    """Prompts -> four masks: the single answer, then the three for an ambiguous prompt."""

    def __init__(self, network: Sam) -> None:
        super().__init__()
        self.network = network
        self.prompts = _Prompts(network.host.prompt_encoder, network.shape.side)

    def forward(
        self, image_embeddings: Tensor, points: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        sparse, dense = self.prompts(points, labels, mask, has_mask)
        return self.network.decode_encoded(image_embeddings, sparse, dense, None)


class _Words(nn.Module):
    """Word pieces -> prompt tokens."""

    def __init__(self, network: MedSamText) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor) -> Tensor:
        return self.network.read(ids)


class _WordDecoder(nn.Module):
    """Prompt tokens -> the mask."""

    def __init__(self, network: MedSamText) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_embeddings: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.decode_tokens(image_embeddings, tokens, multimask=False)


class _Sam2Decoder(nn.Module):
    """Prompts -> four masks, as SAM's; the pointers of the single answer and of the best of three; presence."""

    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.network = network
        self.prompts = _Prompts(network.host.prompt_encoder, network.side)

    def forward(
        self,
        image_embeddings: Tensor,
        fine_4: Tensor,
        fine_8: Tensor,
        points: Tensor,
        labels: Tensor,
        mask: Tensor,
        has_mask: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        sparse, dense = self.prompts(points, labels, mask, has_mask)
        maps = Sam2Maps(image_embeddings, (fine_4, fine_8), image_embeddings)
        embeddings = image_embeddings.expand(sparse.shape[0], -1, -1, -1)
        one, three = (
            self.network.decode_tokens(embeddings, maps, sparse, dense, several, gated=False)
            for several in (False, True)
        )
        return (
            torch.cat([one.logits, three.logits], dim=1),
            torch.cat([one.iou, three.iou], dim=1),
            torch.stack([one.pointers, three.pointers], dim=1),
            one.present,
        )


class _MemoryAttention(nn.Module):
    """The coarse map of each object, given what is remembered of it."""

    grid: Tensor

    def __init__(self, network: Sam2, grid: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("grid", grid)
        times = [network.time_of_memory(slot) for slot in range(network.host.config.num_maskmem)]
        self.register_buffer("times", torch.stack(times))

    def forward(
        self, coarse: Tensor, places: Tensor, memory: Tensor, slots: Tensor, pointers: Tensor, away: Tensor
    ) -> Tensor:
        count, frames, tokens, width = memory.shape
        seen = (self.grid[None] + self.times[slots][:, None]).reshape(1, frames * tokens, width)  # type: ignore[index]
        parts = pointers.shape[2] // width
        timed = away[:, None] * torch.zeros(1, width)
        if self.network.host.config.enable_temporal_pos_encoding_for_object_pointers:
            timed = self.network.time_of_pointers(away, 1)
        timed = timed[:, None].expand(-1, parts, -1).reshape(1, -1, width)
        extra = pointers.shape[1] * parts
        pieces = (memory.reshape(count, frames * tokens, width), pointers.reshape(count, extra, width))
        where = torch.cat([seen, timed], dim=1).expand(count, -1, -1)
        maps = Sam2Maps(coarse, (coarse, coarse), places)
        return self.network.with_memory(maps, torch.cat(pieces, dim=1), where, frames, extra)


class _MemoryEncoder(nn.Module):
    """A frame and an outline on it -> what is remembered."""

    def __init__(self, network: Sam2) -> None:
        super().__init__()
        self.network = network

    def forward(self, coarse: Tensor, logits: Tensor, pointed: Tensor, present: Tensor | None = None) -> Tensor:
        there = torch.ones_like(logits[:, 0, 0, :1]) if present is None else present
        return self.network.remember(Sam2Maps(coarse, (coarse, coarse), coarse), logits, there, pointed)


def parts_of(network: Sam | Sam2) -> tuple[NetworkPart, ...]:
    """Everything after the image encoder, each part with inputs to trace it with."""
    if isinstance(network, MedSamText):
        return _word_parts(network)
    if isinstance(network, Sam):
        f = network.shape.side // network.shape.patch
        inputs: Axes = {"image_embeddings": (1, 256, f, f), **_prompt_axes(f)}
        outputs: Axes = {"low_res_masks": ("O", 4, 4 * f, 4 * f), "iou_predictions": ("O", 4)}
        example = (torch.rand(1, 256, f, f), *_prompt_example(f, network.shape.side))
        return (NetworkPart("decoder", _SamDecoder(network), inputs, outputs, example),)
    return (_sam2_decoder(network), *_memory_step(network))


def _prompt_axes(f: int) -> Axes:
    return {
        "point_coords": ("O", "N", 2),
        "point_labels": ("O", "N"),
        "mask_input": ("O", 1, 4 * f, 4 * f),
        "has_mask_input": ("O",),
    }


def _prompt_example(f: int, side: int) -> tuple[Tensor, ...]:
    points = torch.rand(2, 3, 2) * side
    labels = torch.tensor([[1.0, 0.0, -1.0], [2.0, 3.0, 1.0]])
    return points, labels, torch.randn(2, 1, 4 * f, 4 * f), torch.tensor([1.0, 0.0])


def _word_parts(network: MedSamText) -> tuple[NetworkPart, ...]:
    f, length = network.shape.side // network.shape.patch, network.text.length
    ids = torch.randint(0, 3, (2, length), generator=torch.Generator().manual_seed(0))
    tokens: Axes = {"prompt_tokens": ("O", length, 256)}
    outputs: Axes = {"low_res_masks": ("O", 1, 4 * f, 4 * f), "iou_predictions": ("O", 1)}
    example = (torch.rand(1, 256, f, f), torch.rand(2, length, 256))
    inputs: Axes = {"image_embeddings": (1, 256, f, f), **tokens}
    return (
        NetworkPart("words", _Words(network), {"token_ids": ("O", length)}, tokens, (ids,)),
        NetworkPart("decoder", _WordDecoder(network), inputs, outputs, example),
    )


def _sam2_decoder(network: Sam2) -> NetworkPart:
    f = network.shape.cells
    inputs: Axes = {
        "image_embeddings": ("O", 256, f, f),
        "fine_4": (1, 32, 4 * f, 4 * f),
        "fine_8": (1, 64, 2 * f, 2 * f),
        **_prompt_axes(f),
    }
    outputs: Axes = {
        "low_res_masks": ("O", 4, 4 * f, 4 * f),
        "iou_predictions": ("O", 4),
        "object_pointers": ("O", 2, 256),
        "object_score_logits": ("O", 1),
    }
    maps = (torch.rand(2, 256, f, f), torch.rand(1, 32, 4 * f, 4 * f), torch.rand(1, 64, 2 * f, 2 * f))
    return NetworkPart("decoder", _Sam2Decoder(network), inputs, outputs, (*maps, *_prompt_example(f, network.side)))


def _memory_step(network: Sam2) -> tuple[NetworkPart, ...]:
    """Memory attention and memory encoder; where pooled attention treats a single memory otherwise, one more file."""
    f = network.shape.cells
    maps = Sam2Maps(torch.zeros(1, 256, f, f), (torch.zeros(1), torch.zeros(1)), torch.zeros(1, 256, f, f))
    grid = network.memory_places(maps).detach().clone()
    inputs: Axes = {
        "coarse": (1, 256, f, f),
        "places": (1, 256, f, f),
        "memory": ("O", "M", len(grid), 64),
        "memory_slots": ("M",),
        "object_pointers": ("O", "P", 256),
        "pointer_times": ("P",),
    }

    def attention(name: str, frames: int) -> NetworkPart:
        axes = inputs if frames > 1 else {**inputs, "memory": ("O", 1, len(grid), 64), "memory_slots": (1,)}
        example = (
            torch.rand(1, 256, f, f),
            torch.rand(1, 256, f, f),
            torch.rand(2, frames, len(grid), 64),
            torch.arange(frames),
            torch.rand(2, 3, 256),
            torch.rand(3),
        )
        return NetworkPart(name, _MemoryAttention(network, grid), axes, {"image_embeddings": ("O", 256, f, f)}, example)

    count = 1 if isinstance(network, EdgeTam) else 2
    several = "O" if count > 1 else 1  # EdgeTAM's host squeezes one object at a time
    remembered: Axes = {"coarse": (1, 256, f, f), "low_res_mask": (several, 1, 4 * f, 4 * f), "pointed_at": (several,)}
    example = [torch.rand(1, 256, f, f), torch.randn(count, 1, 4 * f, 4 * f), torch.tensor([True, False][:count])]
    if network.host.config.enable_occlusion_spatial_embedding:
        remembered |= {"object_score_logits": (several, 1)}
        example.append(torch.tensor([[2.0], [-2.0]]))
    answer: Axes = {"memory": (several, len(grid), 64)}
    encoder = NetworkPart("memory_encoder", _MemoryEncoder(network), remembered, answer, tuple(example))
    pooled = isinstance(network, EfficientTam) and network.tam.attention is not CrossAttention.FULL
    first = (attention("memory_attention_first", 1),) if pooled else ()
    return (attention("memory_attention", 2), *first, encoder)
