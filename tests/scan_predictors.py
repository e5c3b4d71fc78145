"""Predictors of whole scans that are right on bright things in the dark: one prompted in 3D, one with two classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from delineate.core.manifest import ModelRecord
from delineate.core.scan import Scan
from delineate.core.volume_prompts import VolumePrompts
from delineate.predictors.capabilities import VISUAL_PROMPTS, Capabilities, Scope
from delineate.predictors.frame_predictor import Candidates
from delineate.preprocess.intensity import WindowRule


class ThresholdInBox:
    """A VolumePredictor: what is brighter than 100 in the last 3D box, with what a line crosses, and without clicks."""

    record = ModelRecord(name="threshold", version="1", sha256="1" * 64, license="Apache-2.0")
    window_rule = WindowRule.CROP
    capabilities = Capabilities(VISUAL_PROMPTS, Scope.VOLUME, follows=None)

    def segment(self, scan: Scan, queries: Mapping[str, VolumePrompts]) -> Mapping[str, Mapping[int, Candidates]]:
        bright = np.stack([frame.pixels > 100 for frame in scan.frames()])
        return {name: self._outlined(bright, prompts) for name, prompts in queries.items()}

    def _outlined(self, bright: np.ndarray, prompts: VolumePrompts) -> dict[int, Candidates]:
        inside = np.zeros_like(bright)
        for x0, y0, first, x1, y1, stop in np.array(prompts.boxes[-1:], dtype=int):
            inside[first:stop, y0:y1, x0:x1] = True
        for (x, y, frame), positive in zip(np.rint(prompts.points).astype(int), prompts.labels, strict=True):
            inside[frame, y - 2 : y + 3, x - 2 : x + 3] = positive
        for frame, mask in prompts.masks.items():
            inside[frame - 1 : frame + 2] |= mask
        found = bright & inside
        return {n: Candidates(mask[None], np.ones(1, np.float32)) for n, mask in enumerate(found) if mask.any()}


class TwoThresholds:
    """A DensePredictor: gray things and bright things, as labels or as logits."""

    record = ModelRecord(name="two", version="1", sha256="2" * 64, license="Apache-2.0")
    window_rule = WindowRule.CROP
    capabilities = Capabilities(frozenset(), Scope.DENSE, follows=None)
    classes = ("gray", "bright")

    def __init__(self, logits: bool = False) -> None:
        self.logits = logits

    def predict(self, scan: Scan) -> Iterator[tuple[int, np.ndarray]]:
        for frame in scan.frames():
            labels = (frame.pixels > 60).astype(int) + (frame.pixels > 150)
            yield frame.index or 0, 10.0 * np.stack([labels == n for n in range(3)]) if self.logits else labels


def blocks() -> np.ndarray:
    """A volume (i, j, k): a bright block in slices 3 to 8 and a gray one in slices 2 to 5, on noise."""
    voxels = np.random.default_rng(0).integers(0, 40, (40, 36, 12)).astype(np.int16)
    voxels[8:20, 10:24, 3:9] += 200
    voxels[26:34, 6:12, 2:6] += 80
    return voxels
