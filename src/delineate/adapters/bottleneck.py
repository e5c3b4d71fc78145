"""The bottleneck: narrow, activate, widen (Medical SAM Adapter, arXiv 2304.12620 sec. 3.1; MediViSTA)."""

from __future__ import annotations

from torch import Tensor, nn

from delineate.adapters.init import Init, begun


class Bottleneck(nn.Module):
    """Tokens (..., C) -> ``scale * up(activation(down(tokens)))``, plus the tokens where there is a ``skip``.

    For slots that change tokens. ``ratio``: of the inner width to C.
    """

    def __init__(
        self,
        width: int,
        ratio: float = 0.25,
        skip: bool = True,
        scale: float = 1.0,
        activation: type[nn.Module] = nn.GELU,
        init: Init = Init.IDENTITY,
    ) -> None:
        super().__init__()
        inner = max(1, int(width * ratio))
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        self.activation = activation()
        self.skip, self.scale = skip, scale
        begun(self.up, init)

    def forward(self, tokens: Tensor, *_: object) -> Tensor:
        made = self.scale * self.up(self.activation(self.down(tokens)))
        return tokens + made if self.skip else made


class ParallelBottleneck(Bottleneck):
    """The same beside an MLP, without a skip. ``normed``: of what goes into the MLP, or of tokens before its norm."""

    def __init__(
        self,
        width: int,
        ratio: float = 0.25,
        scale: float = 0.5,
        activation: type[nn.Module] = nn.GELU,
        init: Init = Init.IDENTITY,
        normed: bool = True,
    ) -> None:
        super().__init__(width, ratio, False, scale, activation, init)
        self.normed = normed

    def forward(self, tokens: Tensor, normed: Tensor, *_: object) -> Tensor:  # type: ignore[override]
        return super().forward(normed if self.normed else tokens)
