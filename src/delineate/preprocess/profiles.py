"""What each published system does to a frame before its network sees it. One table.

Sources: the systems' inference code; the numbers are checked against it or against the libraries it calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.preprocess.fitting import Coordinates, Filter, Fit, Fitted, fitted, resampled
from delineate.preprocess.intensity import WindowRule, eight_bit

IMAGENET_255 = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NONE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Scale(StrEnum):
    BYTES = "0 to 255"
    UNIT = "divided by 255"
    MIN_MAX = "least to 0, greatest to 1"


class MaskDecoding(StrEnum):
    """How logits become a mask at the frame's resolution."""

    LOGITS = "logits enlarged to the input, cropped, enlarged, above 0"  # SAM
    LOGITS_DIRECT = "logits enlarged to the frame, above 0"  # SAM 2
    CROPPED = "logits cropped to the unpadded part, enlarged, above 0"  # LiteMedSAM
    SIGMOID_FIRST = "sigmoid, enlarged, above 0.5"  # MedSAM
    CENTERED = "logits enlarged to the input, unpadded or enlarged, above 0"  # SAM-Med2D

    def threshold(self, logit: float) -> float:
        """Where what is enlarged is cut, for a threshold of the logits."""
        return 1 / (1 + math.exp(-logit)) if self is MaskDecoding.SIGMOID_FIRST else logit


@dataclass(frozen=True)
class Profile:
    """From a frame to a network's input and back.

    side         pixels along a side of the input
    normal       mean and deviation, per channel
    answer       how logits become a mask
    bgr          colors are given in reverse order
    window_rule  how the intensity window of a scan is decided
    coordinates  how places on the frame become places in the input
    """

    name: str
    side: int
    fit: Fit
    filter: Filter
    scale: Scale
    normal: tuple[tuple[float, float, float], tuple[float, float, float]]
    answer: MaskDecoding
    bgr: bool = False
    window_rule: WindowRule = WindowRule.MEDSAM
    coordinates: Coordinates = Coordinates.INNER

    def prepare(self, frame: Frame) -> tuple[NDArray[np.float32], Fitted]:
        """A frame as the input (3, side, side), and where it lies in it."""
        picture = eight_bit(frame, self.window_rule)
        if self.bgr:
            picture = picture[..., ::-1]
        place = fitted(picture.shape[0], picture.shape[1], self.side, self.fit, self.coordinates)
        mean, deviation = (np.asarray(v, np.float32) for v in self.normal)
        inner = self._scaled(resampled(np.ascontiguousarray(picture), place.inner, self.filter))
        inner = (inner - mean) / deviation
        out = np.zeros((self.side, self.side, 3), np.float32)
        rows = slice(place.top, place.top + place.inner[0])
        columns = slice(place.left, place.left + place.inner[1])
        out[rows, columns] = inner
        return np.ascontiguousarray(out.transpose(2, 0, 1)), place

    def _scaled(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        match self.scale:
            case Scale.BYTES:
                return picture
            case Scale.UNIT:
                return picture / np.float32(255)
            case Scale.MIN_MAX:
                low, high = picture.min(), picture.max()
                return (picture - low) / np.maximum(high - low, np.float32(1e-8))

    @property
    def summary(self) -> str:
        """One line for cards and manifests."""
        mean = "" if self.normal == NONE else ", ImageNet mean and deviation"
        return f"{self.side} px, {self.fit}, {self.filter}; {self.scale}{mean}; {self.answer}"


SAM: Final = Profile(
    "sam", 1024, Fit.LONGEST_SIDE, Filter.BILINEAR_8BIT, Scale.BYTES, IMAGENET_255, MaskDecoding.LOGITS
)
MEDSAM: Final = Profile(
    "medsam", 1024, Fit.SQUARE, Filter.CUBIC_SPLINE_8BIT, Scale.MIN_MAX, NONE, MaskDecoding.SIGMOID_FIRST,
    coordinates=Coordinates.NORMALIZED,
)  # fmt: skip
LITE_MEDSAM: Final = Profile(
    "litemedsam", 256, Fit.LONGEST_SIDE, Filter.AREA_8BIT, Scale.MIN_MAX, NONE, MaskDecoding.CROPPED,
    coordinates=Coordinates.SIDE,
)  # fmt: skip
LITE_MEDSAM_SMALL: Final = replace(LITE_MEDSAM, name="litemedsam small", side=128)
SAM_SQUARE: Final = Profile(
    "sam square", 1024, Fit.SQUARE, Filter.BILINEAR_8BIT, Scale.BYTES, IMAGENET_255, MaskDecoding.LOGITS_DIRECT
)
# Medical SAM Adapter's code until April 2025: without SAM's mean and deviation
MEDICAL_SAM_ADAPTER: Final = Profile(
    "medical sam adapter", 1024, Fit.SQUARE, Filter.BILINEAR_8BIT, Scale.UNIT, NONE, MaskDecoding.LOGITS_DIRECT
)
# heart ultrasound: scaled over the clip by the predictor, padded to a square; and stretched, frame by frame
MEDIVISTA_SAM: Final = Profile(
    "medivista sam", 128, Fit.LONGEST_SIDE, Filter.BILINEAR_8BIT, Scale.UNIT, NONE, MaskDecoding.LOGITS
)
MEDIVISTA: Final = Profile(
    "medivista", 256, Fit.SQUARE, Filter.BILINEAR_8BIT, Scale.MIN_MAX, NONE, MaskDecoding.LOGITS_DIRECT
)
CLASSES_512: Final = Profile(
    "classes at 512", 512, Fit.SQUARE, Filter.BILINEAR_8BIT, Scale.UNIT, NONE, MaskDecoding.LOGITS_DIRECT
)
SAM_ADAPTER: Final = Profile(
    "sam adapter", 1024, Fit.SQUARE, Filter.BILINEAR_8BIT, Scale.BYTES, IMAGENET_255, MaskDecoding.LOGITS_DIRECT
)
SAM_UNET: Final = Profile(
    "sam unet", 256, Fit.LONGEST_SIDE, Filter.BILINEAR_8BIT, Scale.BYTES, IMAGENET_255, MaskDecoding.LOGITS
)
SAM_MED2D: Final = Profile(
    "sammed2d", 256, Fit.SQUARE, Filter.NEAREST, Scale.BYTES, IMAGENET_255, MaskDecoding.CENTERED
)
# its training and test scripts pad small pictures, and read colors as blue, green, red
SAM_MED2D_SCRIPTS: Final = Profile(
    "sammed2d scripts", 256, Fit.CENTER, Filter.NEAREST, Scale.BYTES, IMAGENET_255, MaskDecoding.CENTERED, bgr=True
)


def sam2_image(side: int) -> Profile:
    """SAM 2's image predictor."""
    return _sam2("sam2 image", side, Filter.BILINEAR, IMAGENET)


def sam2_video(side: int) -> Profile:
    """SAM 2's video predictor, which resizes 8-bit pictures."""
    return _sam2("sam2 video", side, Filter.BICUBIC_8BIT, IMAGENET)


def medsam2_image(side: int) -> Profile:
    """MedSAM2 (2025) on a picture: SAM 2, and a window of its own."""
    return replace(sam2_image(side), name="medsam2 image", window_rule=WindowRule.MEDSAM2)


def medsam2_video(side: int) -> Profile:
    """MedSAM2 (2025) on the slices of a volume."""
    return replace(sam2_video(side), name="medsam2 video", window_rule=WindowRule.MEDSAM2)


def medsam2_benchmark_image(side: int) -> Profile:
    """MedSAM2's benchmark on single slices: SAM 2's input, MedSAM's way from logits to a mask."""
    base = replace(sam2_image(side), name="medsam2 benchmark image")
    return replace(base, answer=MaskDecoding.SIGMOID_FIRST, coordinates=Coordinates.NORMALIZED)


def biosam2(side: int) -> Profile:
    """BioSAM 2: as SAM 2 without mean and deviation."""
    return _sam2("biosam2", side, Filter.BILINEAR_8BIT, NONE)


def _sam2(name: str, side: int, filter: Filter, normal: tuple) -> Profile:
    at = Coordinates.NORMALIZED_FLOAT32
    return Profile(name, side, Fit.SQUARE, filter, Scale.UNIT, normal, MaskDecoding.LOGITS_DIRECT, coordinates=at)
