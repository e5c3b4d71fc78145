"""MA-SAM's adapter: a convolution along the slices between two linear layers (arXiv 2309.08842 sec. 3.2)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from delineate.adapters.init import Init, begun
from delineate.adapters.slots import SlotContext

INNER = 384


class ConvDepthAdapter(nn.Module):
    """Tokens (clips x D, H, W, C) plus ``up(GELU(conv3x1x1(down(norm(x)))))``; for slots that change tokens."""

    def __init__(self, width: int, inner: int = INNER, init: Init = Init.IDENTITY) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, inner, bias=False)
        self.conv = nn.Conv3d(inner, inner, (3, 1, 1), padding=(1, 0, 0))
        self.up = nn.Linear(inner, width, bias=False)
        begun(self.up, init)

    def forward(self, tokens: Tensor, context: SlotContext) -> Tensor:
        inner = self.down(self.norm(tokens)).unflatten(0, (-1, context.depth))
        mixed = self.conv(inner.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1).flatten(0, 1)
        return tokens + self.up(F.gelu(mixed))
