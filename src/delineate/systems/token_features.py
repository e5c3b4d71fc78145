"""Features of frames from encoders that prompt nothing: DINOv2, DINOv3, DeepLab's trunk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from delineate.core.frame import Frame
from delineate.fewshot.feature_map import FeatureGrid, FeatureMap
from delineate.preprocess.fitting import Filter, resampled
from delineate.preprocess.intensity import eight_bit
from delineate.preprocess.profiles import IMAGENET_255

if TYPE_CHECKING:
    from torch import nn

    from delineate.compute.engine import Engine

LEAST_GRID = 32  # cells along a side; smaller maps are enlarged (ProtoSAM, DINOv2-SSL)


class Normalization(StrEnum):
    """What intensities become before an encoder sees them."""

    ZSCORE = "zscore"  # scan by scan: less its mean, over its deviation; colors as IMAGENET (the papers)
    IMAGENET = "imagenet_minmax"  # through the scan's window to 0 .. 255, then ImageNet's mean and deviation
    NONE = "none"


@dataclass(frozen=True, eq=False)
class TokenExtractor:
    """A FeatureExtractor.

    encoder    pixels (1, 3, S, S) -> (1, C, h, w); its ``patch`` is the stride
    side       pixels along a side of what it is given, cut to a multiple of its patch
    normalize  what intensities become
    """

    name: str
    encoder: nn.Module
    side: int
    engine: Engine
    normalize: Normalization = Normalization.ZSCORE

    @property
    def stride(self) -> int:
        return int(self.encoder.patch)  # type: ignore[arg-type]

    @property
    def whole_side(self) -> int:
        """The side, cut to whole patches."""
        return self.side // self.stride * self.stride

    def features(self, frame: Frame) -> FeatureMap:
        """Describe a frame, gray or of three colors, of any data type; it is squared."""
        import torch
        from torch.nn import functional as F

        side = self.whole_side
        pixels = torch.from_numpy(self.prepared(frame))[None].to(self.engine.device)
        if pixels.shape[-1] != side:
            pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False)
        with torch.inference_mode(), self.engine.encoding():
            values = self.encoder(pixels).float()
            if values.shape[2] * values.shape[3] < LEAST_GRID**2:
                values = F.interpolate(values, size=(LEAST_GRID, LEAST_GRID), mode="bilinear", align_corners=False)
        grid = FeatureGrid.stretched(*frame.size, *values.shape[2:])
        return FeatureMap(values[0].cpu().numpy(), grid)

    def prepared(self, frame: Frame) -> NDArray[np.float32]:
        """(3, side, side)."""
        values = normalized(frame, self.normalize)
        return np.ascontiguousarray(resampled(values, (self.side, self.side), Filter.BILINEAR).transpose(2, 0, 1))


def normalized(frame: Frame, how: Normalization) -> NDArray[np.float32]:
    """Intensities of a frame (height, width, 3) as an encoder takes them; NaN and infinities become the mean."""
    pixels = frame.pixels
    colors = pixels.ndim == 3 and pixels.shape[2] >= 3
    if how is Normalization.IMAGENET or (colors and how is Normalization.ZSCORE):
        mean, deviation = (np.asarray(part, np.float32) for part in IMAGENET_255)
        return (eight_bit(frame).astype(np.float32) - mean) / deviation
    values = pixels[..., :3] if colors else np.repeat(pixels.reshape(*frame.size, -1)[..., :1], 3, axis=2)
    values = values.astype(np.float32)
    if how is Normalization.NONE:
        return np.nan_to_num(values, posinf=0, neginf=0)
    center, spread = frame.intensities.moments
    return np.nan_to_num((values - np.float32(center)) / np.float32(max(spread, 1e-8)), posinf=0, neginf=0)
