"""A frame: the pixels of an image, a slice or a moment of a video, and what is needed to read their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from delineate.core.frame_source import ArrayFrames, Pixels
from delineate.core.intensities import Intensities, IntensityWindow


class ModalityName(StrEnum):
    CT = "CT"
    MR = "MR"
    ULTRASOUND = "ultrasound"
    XRAY = "X-ray"
    PET = "PET"
    MICROSCOPY = "microscopy"
    ENDOSCOPY = "endoscopy"
    FUNDUS = "fundus"
    DERMOSCOPY = "dermoscopy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Modality:
    """What kind of picture this is, and what made us think so."""

    name: ModalityName = ModalityName.UNKNOWN
    reason: str = "nothing in the file says so"


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a scan; a predictor decides from it, and from nothing else, what its network sees.

    pixels       (height, width[, channels]) in the file's own data type
    intensities  of the whole scan, so that every frame of it is windowed alike
    window       where a person, or the record of an earlier run, chose it; None: the predictor's own rule decides
    modality     of the scan
    spacing      mm between neighboring pixels, (x, y); None where the file does not say
    index        its number in the scan; None for a frame on its own
    file_window  (low, high) the file asks to be shown through; None where it does not say
    """

    pixels: Pixels
    intensities: Intensities
    window: IntensityWindow | None = None
    modality: Modality = field(default_factory=Modality)
    spacing: tuple[float, float] | None = None
    index: int | None = None
    file_window: tuple[float, float] | None = None

    @classmethod
    def of(cls, pixels: Pixels, **about: Any) -> Self:
        """A frame on its own, such as a camera's; ``about``: window, modality, spacing or index."""
        return cls(pixels, Intensities(ArrayFrames(pixels[None])), **about)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def with_pixels(self, pixels: Pixels) -> Self:
        """The same frame with other pixels, such as a part of it: windowed as the whole scan is."""
        return replace(self, pixels=pixels)
