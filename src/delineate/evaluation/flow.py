"""What following gets without a network: the outline carried along by dense optical flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import MissingExtraError, PromptError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.predictors.capabilities import Capabilities, PromptKind
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.preprocess.intensity import WindowRule

FLOW: Final = "optical-flow"  # the baseline's name
LEAST_SIDE: Final = 32  # pixels the flow is computed on at least; smaller frames are continued by their edge
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class FlowPredictor:
    """Dense inverse search (Kroeger et al., arXiv 1603.03590; OpenCV's), from each frame back to the one before.

    It answers no prompt: where a structure is has to be drawn. Each pixel of a frame then takes what the outline was
    where it came from. Raises MissingExtraError without OpenCV.
    """

    def __post_init__(self) -> None:
        _opencv()

    @property
    def record(self) -> ModelRecord:
        return ModelRecord(name=FLOW, version=f"1, OpenCV {_opencv().__version__}", sha256="", license="Apache-2.0")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({PromptKind.MASK}))

    @property
    def window_rule(self) -> WindowRule:
        return WindowRule.CROP

    def encode(self, frame: Frame) -> NDArray[np.float32]:
        """Gray values (height, width)."""
        pixels = frame.pixels if frame.window is None else frame.window.clip(frame.pixels)
        plane = np.nan_to_num(np.asarray(pixels, dtype=np.float32))
        return plane.mean(axis=2) if plane.ndim == 3 else plane

    def decode(self, features: NDArray[np.float32], queries: Sequence[Query]) -> list[Candidates]:
        return [self._decode(features, query) for query in queries]

    def _decode(self, now: NDArray[np.float32], query: Query) -> Candidates:
        if query.reference is None:
            raise PromptError(
                "E-BASELINE-PROMPT",
                f'The baseline "{FLOW}" carries an outline on, and answers no prompt.',
                "Measure it with video-mask, or leave it out of this protocol.",
            )
        mask = carried(query.reference.mask, query.reference.features, now)
        return Candidates(mask[None], np.ones(1, dtype=np.float32))


def carried(mask: Mask, before: NDArray[np.float32], now: NDArray[np.float32]) -> Mask:
    """The outline (height, width) of a frame on the next one, given gray values of both."""
    opencv: Any = _opencv()
    height, width = mask.shape
    low, high = np.percentile(np.stack([before, now]), (1, 99))
    fill = ((0, max(0, LEAST_SIDE - height)), (0, max(0, LEAST_SIDE - width)))
    gray = [np.pad(_bytes(plane, float(low), float(high)), fill, mode="edge") for plane in (now, before)]
    flow = opencv.DISOpticalFlow_create(opencv.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*gray, None)[:height, :width]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    weights = mask.astype(np.float32)
    moved = opencv.remap(weights, columns + flow[..., 0], rows + flow[..., 1], opencv.INTER_LINEAR)
    return np.asarray(moved >= 0.5)


def _bytes(plane: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    return np.asarray(np.clip((plane - low) / max(high - low, 1e-6), 0, 1) * 255, dtype=np.uint8)


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError(f'The baseline "{FLOW}"', "evaluate") from error
    return cv2
