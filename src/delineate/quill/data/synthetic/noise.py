"""Random textures. Making them is slow, so each process makes a bank once and cuts pieces out of it."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

SIDE = 352  # of the fields in the bank: the largest scene
TEXTURES, SLOW_FIELDS = 40, 24
_BANK_SEED = 7


@cache
def _textures() -> Field:
    """(TEXTURES, SIDE, SIDE), unit variance: clouds, grain, fibers and bands of random power spectra."""
    rng = np.random.default_rng(_BANK_SEED)
    fy, fx = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij")
    fields = []
    for number in range(TEXTURES):
        angle = rng.uniform(0, np.pi)
        stretch = rng.choice([1.0, 1.0, 1.0, rng.uniform(2, 6)])  # a quarter are fibrous
        u = fx * np.cos(angle) + fy * np.sin(angle)
        v = (-fx * np.sin(angle) + fy * np.cos(angle)) * stretch
        frequency = np.sqrt(u * u + v * v) + 1e-6
        if number % 4 == 3:
            center = rng.uniform(0.03, 0.25)
            gain = np.exp(-(((frequency - center) / (0.35 * center)) ** 2))
        else:
            slope, knee = rng.uniform(0.3, 2.2), 10 ** rng.uniform(-2.3, -0.8)
            gain = 1 / (frequency**2 + knee**2) ** (slope / 2)
        fields.append(_shaped(rng, gain))
    return np.array(fields)


@cache
def _slow_fields() -> Field:
    """(TIDES, SIDE, SIDE), unit variance: only what varies slowly, for shading, bias fields and warps."""
    rng = np.random.default_rng(_BANK_SEED + 1)
    fy, fx = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij")
    return np.array(
        [_shaped(rng, np.exp(-2 * (np.pi * rng.uniform(12, 35)) ** 2 * (fx**2 + fy**2))) for _ in range(SLOW_FIELDS)]
    )


def _shaped(rng: np.random.Generator, gain: NDArray[np.float64]) -> Field:
    white = np.fft.rfft2(rng.standard_normal((SIDE, SIDE)))
    field = np.fft.irfft2(white * gain, s=(SIDE, SIDE))
    return ((field - field.mean()) / field.std()).astype(np.float32)


_real: list[Field] = []


def use_real_textures(fields: list[Field]) -> None:
    """Draw half of all textures from these (SIDE, SIDE) fields of unit variance: the grain of real scans."""
    _real[:] = fields


def texture(rng: np.random.Generator, side: int) -> Field:
    """A piece (side, side) of a random texture, turned and mirrored at random."""
    if _real and rng.random() < 0.5:
        return _piece(rng, np.asarray(_real[rng.integers(len(_real))])[None], side)
    return _piece(rng, _textures(), side)


def slow_field(rng: np.random.Generator, side: int) -> Field:
    """A piece (side, side) of a slowly varying field."""
    return _piece(rng, _slow_fields(), side)


def _piece(rng: np.random.Generator, bank: Field, side: int) -> Field:
    y, x = rng.integers(0, SIDE - side + 1, 2)
    piece = bank[rng.integers(len(bank)), y : y + side, x : x + side]
    if rng.random() < 0.5:
        piece = piece[::-1]
    if rng.random() < 0.5:
        piece = piece.T
    return piece if rng.random() < 0.5 else -piece
