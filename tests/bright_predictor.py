"""A predictor simple enough to know its right answer: structures are the bright components of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.predictors.capabilities import VISUAL_PROMPTS, Capabilities
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.preprocess.intensity import WindowRule


class BrightPredictor:
    """Outlines the bright component that is prompted, or that overlaps the earlier outline."""

    record = ModelRecord(name="bright", version="1", sha256="", license="Apache-2.0")
    window_rule = WindowRule.CROP
    capabilities = Capabilities(VISUAL_PROMPTS, multimask=True)

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, frame: Frame) -> NDArray[Any]:
        self.encoded += 1
        return np.array(frame.pixels)

    def decode(self, features: NDArray[Any], queries: Sequence[Query]) -> list[Candidates]:
        return [self.outlined(features, query) for query in queries]

    def outlined(self, features: NDArray[Any], query: Query) -> Candidates:
        """One structure."""
        prompts = query.prompts
        parts, _ = ndimage.label(features > 100)
        wanted = np.zeros(features.shape, dtype=bool)
        if prompts.box is not None:
            x0, y0, x1, y1 = (int(v) for v in prompts.box)
            wanted[y0:y1, x0:x1] = True
        for (x, y), positive in zip(prompts.points, prompts.labels, strict=True):
            wanted[round(y), round(x)] |= positive
        if query.previous is not None:
            wanted |= query.previous
        if query.reference is not None:
            wanted |= query.reference.mask
        values = np.unique(parts[wanted])
        mask = np.isin(parts, values[values > 0])
        for (x, y), positive in zip(prompts.points, prompts.labels, strict=True):
            if not positive:
                mask[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2] = False
        masks = np.stack([mask, ndimage.binary_dilation(mask) if mask.any() else mask])
        return Candidates(masks, np.array([0.9, 0.6], np.float32), presence=float(mask.any()))
