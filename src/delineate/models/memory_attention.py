"""Attention of a frame to what is remembered (arXiv 2408.00714 sec. 4), lean and open to adapters.

What the objects of a frame share has a batch of 1 until it differs between them: the first self-attention sees the
frame alone. Where nothing is recorded, memories (64 channels) are summed up before they are projected (256). Same
parameters as in ``transformers``, same result up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.edgetam_video import modeling_edgetam_video as edgetam
from transformers.models.sam2_video import modeling_sam2_video as sam2

from delineate.adapters.slots import NO_CONTEXT, MemorySlot, SlotContext, Slotted
from delineate.models.attention import attend, by_products
from delineate.models.derived import Derived, recorded, untouched
from delineate.models.linear import Linear, fed_forward


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotary positions of tokens (B, T, C): pairs of channels are turned by the angles of their place.

    turn      complex (places, C / 2)
    frames    0: tokens are maps of all places; otherwise they are of so many frames, each with those at its end
    pointers  tokens at the very end without a place; None: there is no such end
    """

    turn: Tensor
    frames: int = 0
    pointers: int | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.pointers is None:
            return turned(x, self.turn)
        placed = x.shape[1] - self.pointers
        if not self.frames:
            return turned_but_last(x, self.turn, self.pointers)
        b, _, c = x.shape
        groups = x[:, :placed].reshape(b, self.frames, -1, c)
        alone = groups.shape[2] - len(self.turn)
        last = turned(groups[:, :, alone:].flatten(1, 2), self.turn).view(b, self.frames, -1, c)
        return torch.cat([torch.cat([groups[:, :, :alone], last], dim=2).flatten(1, 2), x[:, placed:]], dim=1)


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Several maps of N places (B, maps x N, C), their pairs of channels multiplied by complex numbers (N, C / 2)."""
    b, count, width = x.shape
    pairs = x.float().reshape(b, -1, len(turn), width // 2, 2)
    if torch.jit.is_tracing():  # exporters know no complex numbers
        (one, other), (cos, sin) = pairs.unbind(-1), (turn.real, turn.imag)
        product = torch.stack([one * cos - other * sin, one * sin + other * cos], dim=-1)
    else:
        product = torch.view_as_real(torch.view_as_complex(pairs) * turn)
    return product.reshape(b, count, width).to(x.dtype)


def turned_but_last(x: Tensor, turn: Tensor, count: int) -> Tensor:
    """The same of all tokens but the last ``count``, which stay as they are."""
    placed = x.shape[1] - count
    if recorded() or x.dtype is not torch.float32:
        return torch.cat([turned(x[:, :placed], turn), x[:, placed:]], dim=1)
    out = torch.empty_like(x)
    before, after = (
        torch.view_as_complex(t[:, :placed].unflatten(1, (-1, len(turn))).unflatten(3, (-1, 2))) for t in (x, out)
    )
    torch.mul(before, turn, out=after)
    out[:, placed:] = x[:, placed:]
    return out


class TurnedAttention(nn.Module):
    """Attention of a frame (1 or O, N, 256) to itself or to memories (O, T, 64)."""

    q_proj: Any
    k_proj: Any
    v_proj: Any
    o_proj: Any
    scaling: Any
    dropout_p: Any

    def forward(self, query: Tensor, key: Tensor, value: Tensor, of_query: Rotation, of_key: Rotation) -> Tensor:
        q, k = of_query(self.q_proj(query)), of_key(self.k_proj(key))
        return self.o_proj(self.mixed(q.expand(k.shape[0], -1, -1), k, value, of_key))

    def mixed(self, q: Tensor, k: Tensor, value: Tensor, of_key: Rotation) -> Tensor:
        """softmax(q k') times the projected values."""
        dropout = self.dropout_p if self.training else 0.0
        if value.shape[2] < q.shape[2] and untouched(Linear, self.v_proj) and not (dropout or recorded()):
            return self.v_proj(by_products(q, k, value.to(q.dtype), scale=self.scaling))
        return attend(q[:, None], k[:, None], self.v_proj(value)[:, None], dropout)[:, 0]


class MemoryLayer(Slotted):
    """A frame (1 or O, N, 256) compared with itself, then with memories (O, T, 64).

    keys  memories with their places added
    """

    offers = tuple(MemorySlot)
    self_attn: Any
    cross_attn_image: Any
    layer_norm1: Any
    layer_norm2: Any
    layer_norm3: Any
    dropout1: Any
    dropout2: Any
    dropout3: Any

    def widths(self, slot: StrEnum) -> tuple[int, int]:
        width = self.layer_norm1.normalized_shape[0]
        return width, width

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        memory: Tensor,
        of_frame: Rotation,
        of_memory: Rotation,
        context: SlotContext = NO_CONTEXT,
    ) -> Tensor:
        x = self.through(MemorySlot.BEFORE, queries, context)
        normed = self.layer_norm1(x)
        x = x + self.dropout1(self.self_attn(normed, normed, normed, of_frame, of_frame))
        x = x + self.dropout2(self.cross_attn_image(self.layer_norm2(x), keys, memory, of_frame, of_memory))
        x = self.through(MemorySlot.BETWEEN, x, context)
        normed = self.layer_norm3(x)
        x = x + self.dropout3(self.fed_forward(normed))
        x = self.plus(MemorySlot.MLP_PARALLEL, x, x, normed, context)
        return self.through(MemorySlot.AFTER, x, context)

    def fed_forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class MemoryAttention(nn.Module):
    """A frame (N, 1 or O, 256) compared with memories (T, O, 64), called as in ``transformers``: (1, O, N, 256)."""

    kept: Derived  # rotations of every place
    layers: Any
    layer_norm: Any
    rotary_emb: Any
    position_ids: Any
    config: Any

    def forward(
        self,
        current_vision_features: Tensor,
        memory: Tensor,
        current_vision_position_embeddings: Tensor,
        memory_posision_embeddings: Tensor,
        num_object_pointer_tokens: int = 0,
        num_spatial_memory_tokens: int = 0,
        context: SlotContext = NO_CONTEXT,
    ) -> Tensor:
        x = (current_vision_features + 0.1 * current_vision_position_embeddings).transpose(0, 1)
        memory, places = memory.transpose(0, 1), memory_posision_embeddings.transpose(0, 1)
        if self.training and (self.config.memory_attention_dropout or self.config.memory_attention_rope_dropout):
            x = x.expand(memory.shape[0], -1, -1)  # something else is dropped of each object
        of_frame, of_keys = self.kept.get(
            self._turns, self.rotary_emb.inv_freq, key=(memory.device, self.position_ids.shape)
        )
        of_memory = Rotation(of_keys, num_spatial_memory_tokens, num_object_pointer_tokens)
        keys = memory + places
        for number, layer in enumerate(self.layers):
            x = layer(x, keys, memory, Rotation(of_frame), of_memory, context.at(number, context.grid))
        return self.layer_norm(x)[None]

    def _turns(self) -> tuple[Tensor, Tensor]:
        """Of the places of a frame and of those of a memory."""
        of_frame = self._turn(self.position_ids)
        return of_frame, of_frame

    def _turn(self, position_ids: Tensor) -> Tensor:
        cos, sin = self.rotary_emb(position_ids.float(), position_ids)
        return torch.complex(cos[0, :, ::2].float(), sin[0, :, ::2].float())


class Sam2TurnedAttention(TurnedAttention, sam2.Sam2VideoRoPEAttention): ...  # type: ignore[misc]


class Sam2MemoryLayer(MemoryLayer, sam2.Sam2VideoMemoryAttentionLayer):  # type: ignore[misc]
    def fed_forward(self, x: Tensor) -> Tensor:
        return fed_forward(x, self.linear1, lambda between: self.dropout(self.activation(between)), self.linear2)


class Sam2MemoryAttention(MemoryAttention, sam2.Sam2VideoMemoryAttention): ...  # type: ignore[misc]


class EdgeTamSelfAttention(TurnedAttention, edgetam.EdgeTamVideoRoPESelfAttention): ...  # type: ignore[misc]


class EdgeTamCrossAttention(TurnedAttention, edgetam.EdgeTamVideoRoPECrossAttention): ...  # type: ignore[misc]


class EdgeTamMemoryLayer(MemoryLayer, edgetam.EdgeTamVideoMemoryAttentionLayer):  # type: ignore[misc]
    def fed_forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class EdgeTamMemoryAttention(MemoryAttention, edgetam.EdgeTamVideoMemoryAttention):  # type: ignore[misc]
    """Memories are squeezed: of each frame some tokens see the whole map, the last ones a window each."""

    def _turns(self) -> tuple[Tensor, Tensor]:
        return self._turn(self.position_ids), self._turn(self.position_ids_k)


MEMORIES: dict[type[nn.Module], type[nn.Module]] = {
    sam2.Sam2VideoRoPEAttention: Sam2TurnedAttention,
    sam2.Sam2VideoMemoryAttentionLayer: Sam2MemoryLayer,
    sam2.Sam2VideoMemoryAttention: Sam2MemoryAttention,
    edgetam.EdgeTamVideoRoPESelfAttention: EdgeTamSelfAttention,
    edgetam.EdgeTamVideoRoPECrossAttention: EdgeTamCrossAttention,
    edgetam.EdgeTamVideoMemoryAttentionLayer: EdgeTamMemoryLayer,
    edgetam.EdgeTamVideoMemoryAttention: EdgeTamMemoryAttention,
}
