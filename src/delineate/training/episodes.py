"""Episodes without labels: a superpixel is the structure, its slice augmented twice is support and query.

SSL-ALPNet (arXiv 2007.09886, section 3.3); figures of the augmentation are those of its released configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from delineate.core.errors import InputError
from delineate.core.frame import Frame
from delineate.data.cases import LEAST_PIXELS, Case, LabeledScan
from delineate.data.superpixels import Method, Superpixels, body
from delineate.training.left_out import leave_out
from delineate.training.shelf import LRUCache, opened_scans

KEPT_BYTES = 2e9
MOST_TARGETS = 10_000  # of a case
Onto = Callable[[NDArray[np.bool_]], NDArray[np.bool_]]  # a mask of the frame, in the encoder's input
Prepare = Callable[[Frame], tuple[Tensor, Onto]]


@dataclass(frozen=True)
class Augmentation:
    """How far a slice is moved and changed.

    degrees, shear  at most, to either side
    shift           pixels at 256
    scale, gamma    between these
    elastic         pixels at 256, displacements smoothed by ``smooth``
    """

    degrees: float = 5.0
    shear: float = 5.0
    shift: float = 5.0
    scale: tuple[float, float] = (0.9, 1.2)
    gamma: tuple[float, float] = (0.5, 1.5)
    elastic: float = 10.0
    smooth: float = 5.0

    def drawn(self, rng: np.random.Generator, pixels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """A slice (3, S, S) and a mask (S, S), moved alike; the slice's grays are changed too."""
        side = pixels.shape[-1]
        grid = self._grid(rng, side).to(pixels.device)
        moved = F.grid_sample(
            self._graded(rng, pixels)[None], grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        shape = F.grid_sample(mask[None, None].float(), grid, mode="nearest", align_corners=False)
        return moved[0], shape[0, 0]

    def _grid(self, rng: np.random.Generator, side: int) -> Tensor:
        turn, lean = np.deg2rad(rng.uniform(-1, 1, 2) * (self.degrees, self.shear))
        size = rng.uniform(*self.scale)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        matrix = rotation @ np.array([[1, np.tan(lean)], [0, 1]]) / size
        offset = rng.uniform(-1, 1, 2) * self.shift * 2 / 256
        theta = torch.tensor(np.column_stack([matrix, offset]), dtype=torch.float32)
        grid = F.affine_grid(theta[None], [1, 1, side, side], align_corners=False)
        if self.elastic:
            noise = rng.uniform(-1, 1, (2, side, side))
            waves = np.stack([ndimage.gaussian_filter(one, self.smooth * side / 256, mode="constant") for one in noise])
            grid = grid + torch.from_numpy(waves * self.elastic * 2 / 256).float().permute(1, 2, 0)[None]
        return grid

    def _graded(self, rng: np.random.Generator, pixels: Tensor) -> Tensor:
        low, high = pixels.min(), pixels.max()
        spread = (high - low).clamp_min(1e-6)
        return ((pixels - low) / spread).clamp(0, 1) ** rng.uniform(*self.gamma) * spread + low


STRONGER = Augmentation(30, 30, 30, (0.8, 1.3), (0.2, 1.8), 20)  # "aug_v3" of the released configuration


@dataclass(frozen=True, eq=False)
class Episode:
    """One way, one shot, one query.

    pixels  (2, 3, S, S): support, query
    masks   (2, S, S), 0 or 1
    """

    pixels: Tensor
    masks: Tensor


@dataclass(frozen=True)
class EpisodeOptions:
    """Which slices and superpixels.

    slices       of a volume or video that are used, at most, spread evenly
    superpixels  how slices are divided
    volume       divide the used slices together (SLIC); support and query may then be two slices that share a part
    background   superpixel 0 may be drawn, as DINOv2-SSL does
    excluded     names of structures: slices that show one are left out (setting 2)
    labeled      slices that show a structure alone, with its outlines: to measure on, not to learn from
    """

    slices: int = 8
    superpixels: Superpixels = field(default_factory=Superpixels)
    volume: bool = False
    background: bool = False
    excluded: tuple[str, ...] = ()
    labeled: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True, eq=False)
class PreparedSlice:
    """A slice as the encoder takes it.

    pixels  (3, S, S)
    parts   superpixels (S, S)
    masks   true structures by name, (S, S)
    """

    pixels: Tensor
    parts: NDArray[np.int32]
    masks: dict[str, NDArray[np.bool_]]

    @property
    def nbytes(self) -> float:
        return float(self.pixels.nbytes + self.parts.nbytes + sum(m.nbytes for m in self.masks.values()))


class Slices:
    """Slices of cases, prepared when they are first drawn."""

    def __init__(self, cases: Sequence[Case], prepare: Prepare, options: EpisodeOptions) -> None:
        self.cases, self.prepare, self.options = list(cases), prepare, options
        self._opened = opened_scans()
        self._ready: LRUCache[tuple[PreparedSlice, ...]] = LRUCache(KEPT_BYTES, lambda one: sum(s.nbytes for s in one))

    def of_case(self, number: int) -> tuple[PreparedSlice, ...]:
        """The used slices of a case; none of one that cannot be read."""
        return self._ready.get(number, lambda: self._prepared(number))

    def episode(self, rng: np.random.Generator) -> Episode:
        """Draw one. Raises InputError where no slice has a superpixel."""
        for number in rng.permutation(len(self.cases)):
            slices = self.of_case(int(number))
            if not slices:
                continue
            first = int(rng.integers(len(slices)))
            values = np.unique(slices[first].parts)
            values = values if self.options.background else values[values > 0]
            if not len(values):
                continue
            value = int(rng.choice(values))
            second = first
            if self.options.volume:
                second = int(rng.choice([n for n, one in enumerate(slices) if (one.parts == value).any()]))
            drawn = [self._augmented(rng, slices[n], value) for n in (first, second)]
            return Episode(torch.stack([p for p, _ in drawn]), torch.stack([m for _, m in drawn]))
        raise InputError(
            "E-TRAIN-EMPTY", "No slice is left that could be divided into superpixels.",
            "Exclude fewer structures, or take smaller superpixels.",
        )  # fmt: skip

    def _augmented(self, rng: np.random.Generator, one: PreparedSlice, value: int) -> tuple[Tensor, Tensor]:
        return self.options.augmentation.drawn(rng, one.pixels, torch.from_numpy(one.parts == value))

    def _prepared(self, number: int) -> tuple[PreparedSlice, ...]:
        try:
            opened = self._opened.get(number, self.cases[number].open)
            found = [self._slice(opened, frame) for frame in self._spread(opened)]
        except Exception as error:
            leave_out(self.cases[number], error)
            return ()
        if self.options.volume and found:
            stack = np.stack([one.pixels.mean(0).numpy() for one in found])
            parts = self._divided(stack)
            found = [PreparedSlice(one.pixels, part, one.masks) for one, part in zip(found, parts, strict=True)]
        return tuple(found)

    def _spread(self, opened: LabeledScan) -> list[int]:
        options, usable = self.options, list(opened.frames)
        if options.excluded or options.labeled:
            targets = opened.targets(MOST_TARGETS, 0)
            hidden = [t for t in targets if t.name in options.excluded]
            usable = [f for f in usable if not any(opened.truth(f, t).any() for t in hidden)]
            if options.labeled:
                usable = [f for f in usable if any(opened.truth(f, t).sum() >= LEAST_PIXELS for t in targets)]
        spread = np.linspace(0, len(usable) - 1, options.slices).astype(int) if usable else ()
        return [usable[n] for n in np.unique(spread)] if usable else []

    def _slice(self, opened: LabeledScan, frame: int) -> PreparedSlice:
        pixels, onto = self.prepare(opened.scan.frame(frame))
        masks: dict[str, NDArray[np.bool_]] = {}
        for target in opened.targets(MOST_TARGETS, 0) if self.options.labeled else ():
            truth = opened.truth(frame, target)
            if truth.sum() >= LEAST_PIXELS:
                shown = onto(truth)
                masks[target.name] = masks.get(target.name, shown) | shown  # many of one kind, such as cells, are one
        parts = np.zeros(pixels.shape[1:], np.int32)
        return PreparedSlice(pixels, parts if self.options.volume else self._divided(pixels.mean(0).numpy()), masks)

    def _divided(self, gray: NDArray[np.float32]) -> NDArray[np.int32]:
        low, high = np.percentile(gray, (0.5, 99.5))
        shown = np.clip((gray - low) / max(high - low, 1e-6), 0, 1)
        inside = body(shown, 0.05)
        scaled = shown * 255 if self.options.superpixels.method is Method.FELZENSZWALB else shown
        return self.options.superpixels.of(scaled, inside)
