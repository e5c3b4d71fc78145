"""Prompt maps of a whole batch, on any device: what ``preprocess.prompt_maps`` says of one crop, in torch.

The network is used with the maps of ``preprocess``, and trained with these, which a GPU makes in milliseconds; a test
holds them together. Channels are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.quill.prompt_maps import (
    BINS,
    CLICK_SIGMA,
    CLICK_WEIGHT,
    FOCUS_SOFTNESS,
    LEAST_RELIEF,
    RATIO_SOFTNESS,
    RELIEF_SHARE,
    RELIEF_SOFTNESS,
)

TAPS = (0.06, 0.24, 0.4, 0.24, 0.06)  # that smooth a histogram
COLORED = 0.02  # difference of two colors from which on a crop is no gray one
LOW, HIGH = 0.01, 0.99  # shares of pixels below the values that become -1 and 1
STRIDE = 2  # of the pixels these are told by
PARTS = 64  # of an image that are counted by themselves: many pixels of one value would wait for each other on a GPU


@dataclass(frozen=True, eq=False)
class View:
    """Windows (B, 3: x, y, size) on frames of sizes (B, 2: height, width), seen at ``side`` pixels.

    All are turned by ``turns`` quarters, and mirrored, in the same way.
    """

    window: Tensor
    size: Tensor
    side: int
    turns: int = 0
    mirrored: bool = False

    def part(self, chosen: Tensor) -> Self:
        return replace(self, window=self.window[chosen], size=self.size[chosen])

    def cut(self, planes: Tensor) -> Tensor:
        """Crops (B, C, S, S) of planes (B, C, H, W), smoothed where they shrink; edge pixels go on beyond the frame."""
        down = _weights(self.window[:, 1], self.window[:, 2], self.size[:, 0], planes.shape[-2], self.side)
        across = _weights(self.window[:, 0], self.window[:, 2], self.size[:, 1], planes.shape[-1], self.side)
        return self.turned(down[:, None] @ planes.float() @ across[:, None].transpose(-1, -2))

    def turned(self, crops: Tensor) -> Tensor:
        out = torch.rot90(crops, self.turns, (-2, -1))
        return out.flip(-1) if self.mirrored else out

    def box(self, boxes: Tensor) -> Tensor:
        """How much of each pixel boxes (B, 4) cover: (B, S, S); nothing where they are nan."""
        scale = (self.side / self.window[:, 2])[:, None]
        there = boxes.isfinite().all(dim=1)
        ends = (boxes.nan_to_num() - self.window[:, [0, 1, 0, 1]]) * scale
        edges = torch.arange(self.side + 1, device=boxes.device, dtype=torch.float32)
        along = [edges.clamp(ends[:, n, None], ends[:, n + 2, None]).diff(dim=1) for n in (0, 1)]
        return self.turned(along[1][:, :, None] * along[0][:, None] * there[:, None, None])

    def clicks(self, clicks: Tensor, sign: int) -> Tensor:
        """Dots (B, S, S) where clicks (B, N, 3: x, y, sign) have this sign."""
        scale = (self.side / self.window[:, 2])[:, None, None]
        places = (clicks[..., :2] + 0.5 - self.window[:, None, :2]) * scale - 0.5
        return self.turned(dots(places, clicks[..., 2] == sign, self.side))


def _weights(start: Tensor, size: Tensor, length: Tensor, pixels: int, side: int) -> Tensor:
    """How much of each of the pixels (of which the first ``length`` are there) is in each of the crop's: (B, S, N)."""
    device = start.device
    step = (size / side)[:, None, None]
    centers = start[:, None] + (torch.arange(side, device=device) + 0.5) * step[:, 0] - 0.5
    centers = torch.minimum(centers.clamp(min=0), length[:, None] - 1)
    places = torch.arange(pixels, device=device)
    weights = (1 - (centers[:, :, None] - places).abs() / step.clamp(min=1)).clamp(min=0)
    weights = weights * (places < length[:, None])[:, None]
    return weights / weights.sum(dim=2, keepdim=True)


def dots(places: Tensor, there: Tensor, side: int) -> Tensor:
    """A soft dot for each place (B, N, 2: x, y in pixels of the crop), the strongest where they meet: (B, S, S)."""
    axis = torch.arange(side, device=places.device)
    along = torch.exp(-((axis - places[..., None]) ** 2) / (2 * (CLICK_SIGMA * side) ** 2))
    out = torch.zeros(len(places), side, side, device=places.device)
    for n in range(places.shape[1]):
        dot = along[:, n, 1, :, None] * along[:, n, 0, None] * there[:, n, None, None]
        out = torch.maximum(out, dot)
    return out


def scaling(colors: Tensor) -> tuple[Tensor, Tensor]:
    """What is taken from crops (B, C, S, S), and what they are multiplied with, to lie in -1 to 1: (B, 1, 1, 1)."""
    values = colors[..., ::STRIDE, ::STRIDE].flatten(1)
    last = values.shape[1] - 1
    low, high = (values.kthvalue(round(share * last) + 1, dim=1).values[:, None, None, None] for share in (LOW, HIGH))
    return low, 2 / (high - low).clamp(min=1e-6)


def scaled(values: Tensor, how: tuple[Tensor, Tensor]) -> Tensor:
    return ((values - how[0]) * how[1] - 1).clamp(-1.5, 1.5)


def prompt_channels(maps: Tensor, pointed: Tensor | None = None) -> Tensor:
    """Maps (B, C, S, S) with focus, likeness and relief as their colors and prompts say.

    pointed  (B, 2, s, s): gray values and outline of the frame each structure was prompted on
    """
    gray = maps[:, :3].mean(dim=1)
    clicked, outlined, before = (_any(maps[:, n]) for n in (5, 7, 9))
    boxed = _any(maps[:, 4])
    only_before = before & ~(boxed | clicked | outlined)
    told = maps.clone()
    told[:, 3] = _focus(gray, maps, clicked, outlined, before)
    told[:, 10] = _likeness(gray, maps, clicked, outlined, boxed, only_before, pointed)
    told[:, 11] = _relief(gray)
    return told


def _any(maps: Tensor) -> Tensor:
    return (maps > 0).flatten(1).any(dim=1)


def _focus(gray: Tensor, maps: Tensor, clicked: Tensor, outlined: Tensor, before: Tensor) -> Tensor:
    by_earlier = (before & ~clicked & ~outlined)[:, None, None]
    chosen = torch.where(clicked[:, None, None], maps[:, 5] > 0.5, maps[:, 7] > 0.5)
    chosen = torch.where(by_earlier, maps[:, 9] > 0.5, chosen)
    by_box = (~(clicked | outlined | before))[:, None, None]
    chosen = torch.where(by_box, _middle(maps[:, 4]), chosen)
    values = torch.where(by_earlier, maps[:, 8], gray).masked_fill(~chosen, float("nan")).flatten(1)
    middle = values.nanmedian(dim=1, keepdim=True).values
    spread = (values - middle).abs().nanmedian(dim=1, keepdim=True).values * 1.48
    seen = torch.tanh((gray - middle[..., None]) / (FOCUS_SOFTNESS * spread[..., None].clamp(min=0.04)))
    return seen.nan_to_num(0.0)


def _ends(inside: Tensor) -> tuple[Tensor, Tensor]:
    """First and last place (B, 1) of rows (B, S) that hold something; the whole row where they hold nothing."""
    last = inside.shape[1] - 1
    return inside.int().argmax(1, keepdim=True), last - inside.flip(1).int().argmax(1, keepdim=True)


def _middle(box: Tensor) -> Tensor:
    """The inner half of a box (B, S, S)."""
    axis, out = torch.arange(box.shape[-1], device=box.device), box > 0.5
    for n, held in enumerate(((box > 0.5).any(2), (box > 0.5).any(1))):
        first, last = _ends(held)
        quarter = (last + 1 - first) // 4
        within = (axis >= first + quarter) & (axis <= last - quarter)
        out = out & (within[:, :, None] if n == 0 else within[:, None])
    return out


def _ellipse(box: Tensor) -> Tensor:
    """An ellipse of seven tenths of the size of a box (B, S, S)."""
    axis, out = torch.arange(box.shape[-1], device=box.device), torch.zeros_like(box)
    for n, held in enumerate(((box > 0.5).any(2), (box > 0.5).any(1))):
        first, last = _ends(held)
        part = ((axis - (first + last) / 2) / (0.35 * (last - first + 2))) ** 2
        out = out + (part[:, :, None] if n == 0 else part[:, None])
    return (out <= 1).float()


def _likeness(
    gray: Tensor,
    maps: Tensor,
    clicked: Tensor,
    outlined: Tensor,
    boxed: Tensor,
    only_before: Tensor,
    pointed: Tensor | None,
) -> Tensor:
    inside, outside = _examples(maps, clicked, outlined, boxed)
    seen = torch.where(only_before[:, None, None], maps[:, 8], gray)
    ratio = _log_ratio(seen, gray, inside, outside)
    if pointed is not None:
        more = _log_ratio(pointed[:, 0], gray, pointed[:, 1], 1 - pointed[:, 1])
        known = only_before & (pointed[:, 1].flatten(1).sum(1) > 0)
        ratio = torch.where(known[:, None, None], 0.5 * (ratio + more), ratio)
    colored = ((maps[:, 0] - maps[:, 1]).abs().flatten(1).amax(1) > COLORED) & ~only_before
    if colored.any():
        for one, other in ((0, 1), (2, 1)):
            difference = maps[:, one] - maps[:, other]
            ratio = ratio + _log_ratio(difference, difference, inside, outside) * colored[:, None, None]
    there = (inside.flatten(1).sum(1) >= 1) & (outside.flatten(1).sum(1) >= 1)
    return torch.tanh(ratio / RATIO_SOFTNESS) * there[:, None, None]


def _examples(maps: Tensor, clicked: Tensor, outlined: Tensor, boxed: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (B, S, S) of the places that are surely inside, and of those that are surely or probably outside."""
    positive, negative = (maps[:, 5] > 0.5).float(), (maps[:, 6] > 0.5).float()
    by_click, by_outline, by_box = clicked[:, None, None], outlined[:, None, None], boxed[:, None, None]
    inside = torch.where(by_click, positive, maps[:, 9])
    outside = torch.where(by_click, 0.05 * (1 - positive), 1 - maps[:, 9])
    inside, outside = torch.where(by_box, _ellipse(maps[:, 4]), inside), torch.where(by_box, 1 - maps[:, 4], outside)
    inside, outside = torch.where(by_outline, maps[:, 7], inside), torch.where(by_outline, 1 - maps[:, 7], outside)
    own = CLICK_WEIGHT * (by_outline | by_box)
    return (inside + own * positive) * (1 - negative), (outside + CLICK_WEIGHT * negative) * (1 - positive)


def _log_ratio(seen: Tensor, looked_at: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """Log ratio of smoothed histograms of ``seen`` (B, s, s), at the values of ``looked_at`` (B, S, S)."""
    bins, smoothing = _bins(seen), _smoothing(seen.device)
    shares = []
    for weight in (inside, outside):
        counts = _counts(bins, weight).clamp(min=0) @ smoothing  # a rounded 1 - 1 may be less than nothing
        shares.append(counts / counts.sum(1, keepdim=True).clamp(min=1e-6) + 0.3 / BINS)
    ratio = torch.log(shares[0] / shares[1])
    return ratio.gather(1, bins if looked_at is seen else _bins(looked_at)).reshape(looked_at.shape)


def _counts(bins: Tensor, weight: Tensor) -> Tensor:
    """Histograms (B, BINS) of bins (B, N), each with its weight (B, ...)."""
    count, parts = len(bins), math.gcd(bins.shape[1], PARTS)
    counts = torch.zeros(count, parts, BINS, device=weight.device)
    return counts.scatter_add_(2, bins.view(count, parts, -1), weight.reshape(count, parts, -1)).sum(1)


@cache
def _smoothing(device: torch.device) -> Tensor:
    """What smooths histograms (B, BINS) that are multiplied with it."""
    return sum(
        (
            torch.diag(torch.full((BINS - abs(n),), tap, device=device), n)
            for n, tap in enumerate(TAPS, -(len(TAPS) // 2))
        ),
        torch.zeros(BINS, BINS, device=device),
    )


def _bins(values: Tensor) -> Tensor:
    return ((values.flatten(1) + 1.5) * (BINS / 3)).clamp(0, BINS - 1).long()


def _relief(gray: Tensor) -> Tensor:
    size = gray.shape[-1] // RELIEF_SHARE | 1
    sums = F.pad(torch.stack([gray, gray * gray], dim=1), (size // 2,) * 4, mode="replicate")
    for axis in (2, 3):
        running = F.pad(sums.cumsum(axis), (1, 0) if axis == 3 else (0, 0, 1, 0))
        length = running.shape[axis] - size
        sums = running.narrow(axis, size, length) - running.narrow(axis, 0, length)
    mean, squares = (sums / size**2).unbind(1)
    spread = (squares - mean * mean).clamp(min=0).sqrt()
    return torch.tanh((gray - mean) / (RELIEF_SOFTNESS * (spread + LEAST_RELIEF)))
