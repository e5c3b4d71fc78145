"""Questions as the network sees them: crops and prompt maps, made where the network is, each time with another look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from delineate.quill.data.scene_pool import QueryBatch
from delineate.quill.data.tensor_prompt_maps import View, prompt_channels, scaled, scaling
from delineate.quill.prompt_maps import CHANNELS, POINTED_MARGIN, POINTED_SIDE

NEGATIVE, GAMMA = 0.25, 0.25  # share of crops shown as negatives; standard deviation of the logarithm of gamma
NOISY, NOISE = 0.3, 0.3  # share of crops with more noise, and how far it goes at most, of half the range of grays


@dataclass(frozen=True, eq=False)
class IntensityAugmentation:
    """How gray values of each question (B, 1, 1, 1) are changed, the same way on every frame but for the noise."""

    sign: Tensor
    gamma: Tensor
    noise: Tensor

    @classmethod
    def drawn(cls, count: int, device: torch.device) -> Self:
        def random() -> Tensor:
            return torch.rand(count, 1, 1, 1, device=device)

        sign = 1 - 2 * (random() < NEGATIVE).float()
        gamma = torch.exp(GAMMA * torch.randn(count, 1, 1, 1, device=device))
        return cls(sign, gamma, NOISE * random() * (random() < NOISY))

    @classmethod
    def plain(cls, count: int, device: torch.device) -> Self:
        one = torch.ones(count, 1, 1, 1, device=device)
        return cls(one, one, 0 * one)

    def part(self, chosen: Tensor) -> Self:
        return type(self)(self.sign[chosen], self.gamma[chosen], self.noise[chosen])

    def __call__(self, values: Tensor) -> Tensor:
        """Values (B, C, S, S) of which most lie in -1 to 1."""
        share = (values + 1) / 2
        held = share.clamp(0, 1)
        bent = 2 * (held**self.gamma + share - held) - 1
        noise = self.noise * (torch.rand_like(values[:, :1]) - torch.rand_like(values[:, :1]))
        return (self.sign * bent + noise).clamp(-1.5, 1.5)


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """A batch as the network sees it.

    maps       (B, C, S, S)
    truth      (B, S, S), 0 to 1
    ambiguous  bool (B,): only clicks were given
    left       int (B,): how many frames follow on this one, where a structure is followed
    asked, view, look  what the maps of the frames that follow are made from
    after      times it was shown before
    """

    maps: Tensor
    truth: Tensor
    ambiguous: Tensor
    left: Tensor
    asked: QueryBatch
    view: View
    look: IntensityAugmentation
    after: int = 0


@torch.no_grad()
def render_batch(
    asked: QueryBatch, side: int, look: IntensityAugmentation | None = None, turns: int = 0, mirrored: bool = False
) -> TrainingBatch:
    """Questions at ``side`` pixels; they look as they are where no look is given."""
    device, count = asked.window.device, len(asked.window)
    look = look or IntensityAugmentation.plain(count, device)
    view = View(asked.window, asked.size, side, turns, mirrored)
    number = asked.follows.long()
    maps, truth = _frame(asked, view, look, number, view.cut(bits(asked.outline)[:, None])[:, 0])
    maps[:, 4] = view.box(asked.box)
    maps[:, 5], maps[:, 6] = view.clicks(asked.clicks, 1), view.clicks(asked.clicks, -1)
    ambiguous = ~asked.follows & asked.box.isnan().any(dim=1)
    left = torch.where(asked.follows, asked.length - 2, 0)
    return TrainingBatch(prompt_channels(maps), truth, ambiguous, left, asked, view, look)


@torch.no_grad()
def next_frame_batch(batch: TrainingBatch, chosen: Tensor, outlines: Tensor) -> tuple[Tensor, Tensor]:
    """Maps and truths of the frame after the one that was shown last, of some of a batch.

    chosen    int (N,): which
    outlines  (N, S, S): what was found on the last frame, which is all that is known
    """
    asked, view, look = batch.asked.part(chosen), batch.view.part(chosen), batch.look.part(chosen)
    number = torch.full_like(chosen, batch.after + 2)
    first = bits(asked.outline)
    maps, truth = _frame(asked, view, look, number, outlines.float())
    colors = view.cut(_frames(asked, number))
    seen = _pointed_view(first, asked.size, view)
    gray = look(scaled(seen.cut(_frames(asked, 0 * number).float().mean(1, keepdim=True)), scaling(colors)))
    return prompt_channels(maps, torch.cat([gray, seen.cut(first[:, None])], dim=1)), truth


def _frame(
    asked: QueryBatch, view: View, look: IntensityAugmentation, number: Tensor, outline: Tensor
) -> tuple[Tensor, Tensor]:
    """Colors, earlier frame and outlines of the maps of frames by ``number``, and the truth there.

    The outline (B, S, S) is the one so far on first frames, on others the one of the frame before.
    """
    colors = view.cut(_frames(asked, number))
    how, later = scaling(colors), (number > 0)[:, None, None]
    before = view.cut(_frames(asked, (number - 1).clamp(min=0)).float().mean(1, keepdim=True))
    maps = torch.zeros(len(colors), CHANNELS, view.side, view.side, device=colors.device)
    maps[:, :3] = look(scaled(colors, how))
    maps[:, 8] = look(scaled(before, how))[:, 0] * later
    maps[:, 7], maps[:, 9] = outline * ~later, outline * later
    truth = view.cut(bits(asked.truth[torch.arange(len(number), device=number.device), number])[:, None])[:, 0]
    return maps, truth


def _frames(asked: QueryBatch, number: Tensor) -> Tensor:
    return asked.frames[torch.arange(len(number), device=number.device), number]


def bits(packed: Tensor) -> Tensor:
    """Masks (..., H, W) as 0 and 1 from packed bits (..., H, W / 8)."""
    places = torch.arange(7, -1, -1, device=packed.device, dtype=torch.uint8)
    return ((packed[..., None] >> places) & 1).flatten(-2).float()


def _pointed_view(outlines: Tensor, size: Tensor, view: View) -> View:
    """Windows around outlines (B, H, W), as where a structure was prompted."""
    ends = []
    for held in ((outlines > 0).any(1), (outlines > 0).any(2)):
        last = held.shape[1] - 1
        ends.append((held.int().argmax(1), last + 1 - held.flip(1).int().argmax(1)))
    (x0, x1), (y0, y1) = ends
    side = (torch.maximum(x1 - x0, y1 - y0) * POINTED_MARGIN).clamp(min=16)
    window = torch.stack([(x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side], dim=1)
    return View(window, size, POINTED_SIDE, view.turns, view.mirrored)
