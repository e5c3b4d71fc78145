"""How far an outline that was followed can be believed: the IoU to expect, from what is seen without the truth.

A logistic curve of ``Signs``; its weights stand in ``trust.json``, as ``tools/followed.py`` fits them on labeled scans.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FILE: Final = Path(__file__).with_name("trust.json")
LEAST, MOST = 0.02, 0.98  # of what is said of an outline, before its odds are taken
FARTHEST: Final = 4.0  # of a sign: what is beyond is no worse
NEAR: Final = 0.75  # diameters that a structure may have moved: farther is no worse, as tools and hearts do move


@dataclass(frozen=True)
class Signs:
    """What is known of an outline that was followed, against the frame where a person pointed at the structure.

    score     predicted IoU times the probability that the structure is there, 0 to 1
    begun     confidence of the outline it was followed from, 0 to 1 (1: drawn by a person)
    distance  frames from there
    size      area over the area there
    jump      area over the area where it was seen last
    place     how far its middle has moved from there, in diameters of the structure
    look      change of the mean color inside since then, in units of the contrast to the surroundings
    contrast  contrast of inside and surroundings over the contrast there
    """

    score: float
    begun: float
    distance: int
    size: float
    jump: float
    place: float
    look: float
    contrast: float


NAMES: Final = ("intercept", "score", "begun", "distance", "size", "jump", "place", "look", "contrast")


def columns(signs: ArrayLike) -> NDArray[np.float64]:
    """What the weights are multiplied by, (N, 9), of signs (N, 8) in the order of their fields.

    Scores as log odds; the distance as its logarithm, up to 64 frames; growth, jumps and lost contrast as doublings or
    halvings, at least 0; the place up to NEAR. That it is smaller than where it was pointed at says nothing: it tapers.
    """
    score, begun, distance, size, jump, place, look, contrast = np.asarray(signs, dtype=float).T
    far = [
        np.log2(1 + np.minimum(distance, 64)) / 2,
        np.maximum(0, np.log2(np.clip(size, 1e-3, 1e3))),
        np.abs(np.log2(np.clip(jump, 1e-3, 1e3))),
        np.minimum(place, NEAR),
        look,
        np.maximum(0, -np.log2(np.clip(contrast, 1e-3, 1e3))),
    ]
    odds = [np.log(p / (1 - p)) for p in (np.clip(one, LEAST, MOST) for one in (score, begun))]
    return np.stack([np.ones_like(score), *odds, *(np.minimum(one, FARTHEST) for one in far)], axis=1)


def believed(signs: Sequence[Signs], weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """The IoU to expect of outlines, 0 to 1 (N,); never more than the outline they were followed from."""
    rows = [tuple(vars(one).values()) for one in signs]
    chosen = _weights() if weights is None else np.asarray(weights, dtype=float)
    return expected(rows, chosen)


def expected(rows: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """``believed`` of signs as rows of numbers (N, 8)."""
    said = 1 / (1 + np.exp(-(columns(rows) @ np.asarray(weights, dtype=float))))
    return np.asarray(np.minimum(said, np.asarray(rows, dtype=float)[:, 1]))


def strongest(signs: Signs) -> str:
    """The sign that lowers the confidence most: "distance", "size", "jump", "place", "look" or "contrast"."""
    first = NAMES.index("distance")
    lowering = (columns([tuple(vars(signs).values())])[0] * _weights())[first:]
    return NAMES[first + int(np.argmin(lowering))]


@cache
def _weights() -> NDArray[np.float64]:
    kept = json.loads(FILE.read_text())["weights"]
    return np.array([kept[name] for name in NAMES])
