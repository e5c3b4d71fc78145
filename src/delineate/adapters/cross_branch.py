"""What branches beside an encoder give to its blocks: attention to them, or a sum (MediViSTA 2025; SAM-UNet)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from delineate.adapters.init import Init, begun
from delineate.adapters.slots import Replaced, SlotContext
from delineate.adapters.temporal import split_heads


def at_block(block: int) -> str:
    """The name in ``SlotContext.branch`` of what belongs to a block: a map (B, H, W, C)."""
    return f"block {block}"


class CrossBranchAttention(nn.Module):
    """Normed tokens plus their attention to a branch's map: queries of tokens, keys and values of the branch.

    For ``Slot.ATTENTION_INPUT``. The projection of all three is one layer, as in the released code.
    """

    def __init__(self, width: int, heads: int, init: Init = Init.IDENTITY) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        begun(self.proj, init)

    def forward(self, normed: Tensor, context: SlotContext) -> Tensor:
        seen = context.branch[at_block(context.block)].flatten(1, 2)
        wq, wk, wv = self.qkv.weight.chunk(3)
        bq, bk, bv = self.qkv.bias.chunk(3)
        q = F.linear(normed.flatten(1, 2), wq, bq)
        k, v = F.linear(seen, wk, bk), F.linear(seen, wv, bv)
        q, k, v = (split_heads(one, self.heads) for one in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return normed + self.proj(mixed).view_as(normed)


class AddBranch(nn.Module):
    """Tokens plus the map of a branch; for ``Slot.BEFORE``."""

    def forward(self, tokens: Tensor, context: SlotContext) -> Tensor:
        return tokens + context.branch[at_block(context.block)]


class BranchStem(nn.Module):
    """Tokens that a branch made, in place of the host's; for ``EncoderSlot.STEM``."""

    def forward(self, pixels: Tensor, replaced: Replaced, context: SlotContext) -> Tensor:
        return context.branch["stem"]
