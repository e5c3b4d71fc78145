"""Hyper-prompting adapter: the prompt makes the weights (Medical SAM Adapter, arXiv 2304.12620 sec. 3.3)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from delineate.adapters.init import Init, begun
from delineate.adapters.slots import SlotContext


class HyperPromptAdapter(nn.Module):
    """Tokens (O, T, C) of a decoder, changed by matrices that their prompts make; for ``DecoderSlot.HYPER``.

    ``e0 = down(tokens); e(n+1) = ReLU(LayerNorm(e(n) W(n))); tokens + up(e)``, and ``W(n) = reshape(M(n)(prompt))``.
    The paper leaves open how several prompt tokens become one matrix: here their mean does.

    reduced  r
    layers   how many matrices in a row
    """

    def __init__(self, width: int, reduced: int | None = None, layers: int = 1, init: Init = Init.IDENTITY) -> None:
        super().__init__()
        self.reduced = reduced or max(1, width // 8)
        self.down, self.up = nn.Linear(width, self.reduced), nn.Linear(self.reduced, width)
        self.generators = nn.ModuleList(nn.Linear(width, self.reduced**2) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(self.reduced) for _ in range(layers))
        begun(self.up, init)

    def forward(self, tokens: Tensor, context: SlotContext) -> Tensor:
        prompt = context.prompt
        if prompt is None or not prompt.shape[1]:
            return tokens
        told = prompt.mean(dim=1)
        e = self.down(tokens)
        for generator, norm in zip(self.generators, self.norms, strict=True):
            matrix = generator(told).unflatten(1, (self.reduced, self.reduced))
            e = F.relu(norm(e @ matrix))
        return tokens + self.up(e)
