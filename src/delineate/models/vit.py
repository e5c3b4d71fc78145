"""SAM's ViT with slots (arXiv 2304.02643 sec. A): the encoder of ``transformers``, its blocks open to adapters."""

from __future__ import annotations

from enum import StrEnum

from torch import Tensor
from transformers.models.sam.modeling_sam import SamMLPBlock, SamVisionEncoder, SamVisionEncoderOutput, SamVisionLayer

from delineate.adapters.slots import NO_CONTEXT, EncoderSlot, Replaced, Slot, SlotContext, Slotted
from delineate.models.derived import untouched
from delineate.models.linear import fed_forward
from delineate.models.vit_attention import VitAttention
from delineate.models.windows import cut, joined, overhangs


class VitFeedForward(SamMLPBlock):
    """Tokens (..., C) -> the same."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return fed_forward(hidden_states, self.lin1, self.act, self.lin2)


class VitBlock(Slotted, SamVisionLayer):
    """(B, H, W, C) -> the same.

    pads_first  windows are filled up before the norm, which makes the filling its bias (Medical SAM Adapter's code)
    """

    pads_first: bool = False

    @property
    def window(self) -> int:  # type: ignore[override]
        return self.window_size

    def widths(self, slot: StrEnum) -> tuple[int, int]:
        width = self.layer_norm1.normalized_shape[0]
        return width, width

    def forward(self, hidden_states: Tensor, context: SlotContext = NO_CONTEXT) -> Tensor:  # type: ignore[override]
        x = self.through(Slot.BEFORE, hidden_states, context)
        normed = self.through(Slot.ATTENTION_INPUT, self.layer_norm1(x), context)
        attention = Replaced(self.attn, self._attended)
        mixed = self.instead(Slot.ATTENTION, attention, normed, context)
        y = x + self.through(Slot.ATTENTION_OUTPUT, mixed, context)
        y = self.plus(Slot.ATTENTION_PARALLEL, y, normed, attention, context)
        y = self.through(Slot.BETWEEN, y, context)
        normed = self.layer_norm2(y)
        z = self.plus(Slot.MLP_PARALLEL, y + self.mlp(normed), y, normed, context)
        return self.through(Slot.AFTER, z, context)

    def _attended(self, x: Tensor) -> Tensor:
        if self.window_size == 0:
            return self.attn(x)
        attention = self.attn
        if (
            isinstance(attention, VitAttention)
            and not self.pads_first
            and overhangs(x, self.window_size)
            and untouched(VitAttention, attention)
        ):
            return attention.in_windows(x, self.window_size)
        filling = self.layer_norm1.bias if self.pads_first else None
        return joined(self.attn(cut(x, self.window_size, filling)), (x.shape[1], x.shape[2]))


class VitEncoder(Slotted, SamVisionEncoder):
    """Pixels (B, 3, side, side) -> embedding (B, 256, f, f)."""

    offers = tuple(EncoderSlot)

    def widths(self, slot: StrEnum) -> tuple[int, int]:
        width, out = self.config.hidden_size, self.config.output_channels
        return (self.config.num_channels, width) if slot is EncoderSlot.STEM else (width, out)

    def forward(self, pixel_values: Tensor, context: SlotContext = NO_CONTEXT, **_: object) -> SamVisionEncoderOutput:
        x = self.instead(EncoderSlot.STEM, Replaced(self.patch_embed, self.patch_embed), pixel_values, context)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        for number, block in enumerate(self.layers):
            here = context.at(number, x.shape[1:3])
            x = here.tapped(block(x, here))
        return SamVisionEncoderOutput(
            last_hidden_state=self.instead(EncoderSlot.NECK, Replaced(self.neck, self.neck), x, context)
        )
