"""SAM-Adapter's prompt generator: patch embedding and high frequencies of the image (arXiv 2304.09148)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.adapters.cross_branch import at_block
from delineate.adapters.init import Init, begun

REDUCTION = 32
LOW = 0.25  # share of the spectrum around its center that is taken out


def high_pass(pixels: Tensor, share: float = LOW) -> Tensor:
    """|inverse FFT| of pixels (B, C, H, W) without low frequencies: ``share`` of the spectrum's area, a square."""
    height, width = pixels.shape[-2:]
    half = int((height * width * share) ** 0.5 // 2)
    spectrum = torch.fft.fftshift(torch.fft.fft2(pixels.float(), norm="forward"), dim=(-2, -1))
    mask = torch.ones(height, width, device=pixels.device)
    mask[height // 2 - half : height // 2 + half, width // 2 - half : width // 2 + half] = 0
    back = torch.fft.ifft2(torch.fft.ifftshift(spectrum * mask, dim=(-2, -1)), norm="forward")
    return back.real.abs().to(pixels.dtype)


class PromptGenerator(nn.Module):
    """Pixels and their patch embedding -> what is added to the tokens before each block, by block."""

    def __init__(self, width: int, blocks: int, init: Init = Init.IDENTITY) -> None:
        super().__init__()
        inner = max(1, width // REDUCTION)
        self.embedding = nn.Linear(width, inner)
        self.frequencies = nn.Conv2d(3, inner, 16, stride=16)
        self.own = nn.ModuleList(nn.Linear(inner, inner) for _ in range(blocks))
        self.shared = nn.Linear(inner, width)
        begun(self.shared, init)

    def forward(self, pixels: Tensor, patches: Tensor) -> dict[str, Tensor]:
        """``patches`` (B, H, W, C); maps of the same shape."""
        seen = self.embedding(patches) + self.frequencies(high_pass(pixels)).permute(0, 2, 3, 1)
        return {at_block(n): self.shared(F.gelu(own(seen))) for n, own in enumerate(self.own)}
