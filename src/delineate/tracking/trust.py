"""How far an outline that was followed can be believed: the IoU to expect, from what is seen without the truth."""

from __future__ import annotations

from dataclasses import dataclass


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
