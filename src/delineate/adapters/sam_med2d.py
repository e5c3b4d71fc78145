"""SAM-Med2D's adapter (arXiv 2308.16184 sec. 3.2, figure 4): a channel gate, then a spatial bottleneck."""

from __future__ import annotations

from torch import Tensor, nn

from delineate.adapters.slots import Insertion, Slot, SlotContext, insert

RATIO = 0.25  # of the gate's inner width


class Med2DAdapter(nn.Module):
    """(B, H, W, C) -> the same; sides must be even. Names as in the published checkpoint."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        inner = int(width * RATIO)
        self.channel = nn.Sequential(
            nn.Linear(width, inner, bias=False), nn.ReLU(), nn.Linear(inner, width, bias=False), nn.Sigmoid()
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False),
            nn.ReLU(),
        )
        for part in (self.spatial[0], self.spatial[2]):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]

    def forward(self, tokens: Tensor, normed: Tensor, context: SlotContext) -> Tensor:
        x = normed.permute(0, 3, 1, 2)
        gate = self.channel(x.mean(dim=(2, 3)))[..., None, None]
        x = x + self.spatial(x * gate)
        return self.norm(x.permute(0, 2, 3, 1))


def add_med2d_adapters(encoder: nn.Module) -> None:
    """Put an adapter beside the MLP of every block of a SAM encoder."""
    insert(encoder, Insertion(Slot.MLP_PARALLEL, lambda width, _: Med2DAdapter(width)))
