"""Quill's own encoder as a feature extractor: what its levels see in a whole frame, with no prompt drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime

from delineate.core.frame import Frame
from delineate.fewshot.feature_map import Array, FeatureGrid, FeatureMap
from delineate.predictors.weightless_graph import with_outputs
from delineate.preprocess.crop import CropWindow, resize
from delineate.quill.correspondence import FITTED, CorrespondenceMap
from delineate.quill.finite_pixels import finite_pixels
from delineate.quill.prompt_maps import CropPrompts, prompt_maps

LEVELS = {
    "/down.1/down.1.2/Relu_1_output_0": 8,
    "/down.2/down.2.4/Relu_1_output_0": 16,
    "/up.1/up.1.1/Relu_1_output_0": 8,
}  # what is compared, by its name in the exported graph, and how many input pixels a cell of it is


@dataclass(frozen=True)
class QuillExtractor:
    """A FeatureExtractor on Quill's file: onnxruntime alone.

    What the levels see is brought onto features by which patients resemble each other (``correspondence``), where those
    were fitted to this Quill: not for one that was trained further.

    path     an exported Quill
    side     pixels along the longer side of the frame as the network sees it
    threads  0: all cores
    """

    path: Path
    side: int = 384
    threads: int = 0
    name: str = "quill"
    stride: int = 8

    @cached_property
    def _file(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def _correspondence(self) -> CorrespondenceMap | None:
        fitted = CorrespondenceMap.read(FITTED)
        return fitted if fitted.sha256 == sha256(self._file).hexdigest() else None

    @cached_property
    def _network(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        model = with_outputs(self._file, list(LEVELS))
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def features(self, frame: Frame) -> FeatureMap:
        """Describe a frame: what ``levels`` are, as they correspond between patients."""
        levels = self.levels(frame)
        if self._correspondence is None:
            return levels
        cells = levels.grid.rows
        values = self._correspondence(levels.resampled(cells))
        return FeatureMap(values, FeatureGrid.stretched(levels.grid.height, levels.grid.width, cells, cells))

    def levels(self, frame: Frame) -> FeatureMap:
        """What the network's levels see, each scaled to unit variance over the frame, one after the other."""
        pixels = finite_pixels(frame)
        height, width = pixels.shape[:2]
        side = float(max(height, width))
        window = CropWindow((width - side) / 2, (height - side) / 2, side)
        maps = prompt_maps(pixels, CropPrompts(), window, self.side)
        channels = self._network.get_inputs()[0].shape[1]
        values = self._joined(self._network.run(list(LEVELS), {"maps": maps[None, :channels]}))
        cells = values.shape[1]
        scale = cells / side
        grid = FeatureGrid(height, width, cells, cells, (scale, scale), (-window.y * scale, -window.x * scale))
        return FeatureMap(values, grid)

    def _joined(self, levels: Sequence[Array]) -> Array:
        """Levels (1, C, h, w) -> (all C, rows, columns) at the finest grid, each centered and of as much weight."""
        cells = self.side // self.stride
        parts = []
        for level in levels:
            one = level[0] - level[0].mean(axis=(1, 2), keepdims=True)
            one /= max(float(np.sqrt((one * one).sum(axis=0).mean())), 1e-6)
            parts.append(one if one.shape[1] == cells else np.stack([resize(c, (cells, cells)) for c in one]))
        return np.concatenate(parts).astype(np.float32)
