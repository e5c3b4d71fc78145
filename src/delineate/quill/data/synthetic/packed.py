"""Tissues packed side by side: regions of any form that share borders, some with a rim, as in a slice of a body.

Each region reaches out from its own place, farther along one direction and where its own slow noise lets it; a place
belongs to whichever reaches farthest there. In time the places move, the noise turns into another one, and regions
grow, give way and end, as cuts through a solid do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.quill.data.synthetic.noise import Field, slow_field, texture

COUNTS = (0.6, 1.4)  # log10 of the number of regions
FILLED = 0.4  # share of scenes without ground between the regions
RIMMED = 0.35  # share of regions with a rim
GRAINS = 4  # finer noises of a scene
NEVER = np.float32(-1e4)


@dataclass(frozen=True, eq=False)
class Tissue:
    """One region: where it is, how far it reaches, in pixels, and how its border runs; its rim is ``rim`` wide."""

    center: NDArray[np.float64]
    motion: NDArray[np.float64]
    reach: float
    growth: float
    along: tuple[float, float]
    stretch: float
    noise: tuple[Field, Field]
    rim: float

    def height(self, y: Field, x: Field, t: float, turn: float) -> Field:
        """(side, side), how much farther than a place the region reaches, in pixels, about."""
        cy, cx = (self.center + self.motion * t).astype(np.float32)
        cos, sin = np.float32(self.along[0]), np.float32(self.along[1])
        u, v = (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin
        pull = np.float32(self.stretch**0.5)
        now = np.float32(np.cos(turn * t)) * self.noise[0] + np.float32(np.sin(turn * t)) * self.noise[1]
        return np.asarray(np.float32(self.reach * (1 + self.growth * t)) - np.hypot(u / pull, v * pull) + now)


class Packed:
    """Region numbers 1 to N of N tissues; the rim of tissue n is N + n. 0 is the ground."""

    def __init__(self, rng: np.random.Generator, side: int) -> None:
        self.side = side
        count = int(10 ** rng.uniform(*COUNTS))
        apart = side / np.sqrt(count)
        self._turn = rng.uniform(0, 0.8)
        self._ground = NEVER if rng.random() < FILLED else np.float32(0)
        waves, grain = rng.uniform(0.05, 0.35) * apart, rng.uniform(0, 0.06) * apart
        grains = [_smooth(texture(rng, side), rng.uniform(2, 4)) for _ in range(GRAINS)]
        motion = rng.uniform(0, 0.05) * side

        def noise() -> Field:
            return np.asarray(waves * slow_field(rng, side) + grain * grains[rng.integers(GRAINS)], np.float32)

        self._tissues = []
        for _ in range(count):
            angle = rng.uniform(0, np.pi)
            reach = apart * rng.uniform(0.4, 0.75) * np.exp(rng.normal(0, 0.35))
            self._tissues.append(
                Tissue(
                    rng.uniform(-0.05, 1.05, 2) * side, rng.normal(0, 1, 2) * motion, reach, rng.normal(0, 0.3),
                    (np.cos(angle), np.sin(angle)), float(np.exp(abs(rng.normal(0, 0.5)))), (noise(), noise()),
                    max(1.5, reach * rng.uniform(0.08, 0.4)) if rng.random() < RIMMED else 0.0,
                )
            )  # fmt: skip

    @property
    def count(self) -> int:
        """Tissues, and rims."""
        return 2 * len(self._tissues)

    @property
    def together(self) -> list[list[int]]:
        """Tissues with their rims, which may be meant as one."""
        whole = len(self._tissues)
        return [[n, whole + n] for n, tissue in enumerate(self._tissues, 1) if tissue.rim]

    def paint(self, t: float) -> NDArray[np.int32]:
        """Region numbers (side, side) at time ``t``."""
        axis = np.arange(self.side, dtype=np.float32)
        first = np.full((self.side, self.side), self._ground)
        second = np.full_like(first, NEVER)
        regions = np.zeros(first.shape, np.int32)
        for number, tissue in enumerate(self._tissues, 1):
            height = tissue.height(axis[:, None], axis[None], t, self._turn)
            wins = height > first
            second = np.where(wins, first, np.maximum(second, height))
            first = np.where(wins, height, first)
            regions[wins] = number
        rims = np.array([0.0, *(tissue.rim for tissue in self._tissues)], np.float32)
        # beside a neighbor the difference of two heights falls twice as fast as a height
        edge = (first - second) < np.where(second > self._ground, 2, 1) * rims[regions]
        regions[edge & (regions > 0)] += len(self._tissues)
        return regions


def _smooth(noise: Field, sigma: float) -> Field:
    """Without what is finer than ``sigma`` pixels, of unit variance."""
    found = ndimage.gaussian_filter(noise, sigma)
    return np.asarray((found - found.mean()) / max(float(found.std()), 1e-3), np.float32)
