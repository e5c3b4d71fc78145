"""What one box gets without a network: the bar any model has to clear.

Four outlines of a boxed structure that need no training: the ellipse in the box, Otsu's threshold, GrabCut and the
random walker. All of them look at the box and a margin around it, and answer inside the box only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from delineate.core.errors import PromptError
from delineate.core.frame import Frame
from delineate.core.manifest import ModelRecord
from delineate.evaluation.graph_segmentation import grab_cut, random_walker
from delineate.evaluation.simulated_prompts import FrameBox, bounding_box
from delineate.predictors.capabilities import Capabilities, PromptKind
from delineate.predictors.frame_predictor import Candidates, Query
from delineate.preprocess.intensity import WindowRule

Mask = NDArray[np.bool_]
Pixels = NDArray[np.float32]

MARGIN = 0.5  # of the box's sides, looked at around it
LEAST_MARGIN = 4  # pixels
SEED = 0.7  # side of the ellipse taken as surely the structure, over the box's; best of 0.2 to 0.8 for both users
BINS = 256  # of Otsu's histogram


@dataclass(frozen=True, eq=False)
class BoxView:
    """A box and its surroundings, brought to a size worth computing on.

    pixels  float32 (h, w, channels), 0 to 1 between the 1st and 99th percentile of the view
    inside  bool (h, w), the pixels of the box
    window  x0, y0, x1, y1 of the view in the frame, whole pixels
    frame   height and width of the frame
    """

    pixels: Pixels
    inside: Mask
    window: tuple[int, int, int, int]
    frame: tuple[int, int]

    @classmethod
    def of(cls, frame: NDArray[Any], box: FrameBox, largest: int) -> BoxView:
        """The view of a half-open box in a frame (height, width[, channels]), at most ``largest`` pixels a side."""
        height, width = frame.shape[:2]
        low, high = np.array(box[:2]), np.array(box[2:])
        margin = np.maximum(MARGIN * (high - low), LEAST_MARGIN)
        x0, y0 = (int(v) for v in np.maximum(np.floor(low - margin), 0))
        x1, y1 = (int(v) for v in np.minimum(np.ceil(high + margin), (width, height)))
        cut = np.nan_to_num(np.asarray(frame[y0:y1, x0:x1], dtype=np.float32)).reshape(y1 - y0, x1 - x0, -1)
        scale = min(1.0, largest / max(cut.shape[:2]))
        size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
        channels = [_resized(cut[..., c], size) for c in range(cut.shape[2])]
        pixels = np.stack(channels, axis=-1)
        dark, bright = np.percentile(pixels, (1, 99))
        pixels = np.clip((pixels - dark) / max(float(bright - dark), 1e-6), 0, 1)
        x = (np.arange(size[0]) + 0.5) / size[0] * (x1 - x0) + x0
        y = (np.arange(size[1]) + 0.5) / size[1] * (y1 - y0) + y0
        inside = ((y >= low[1]) & (y < high[1]))[:, None] & ((x >= low[0]) & (x < high[0]))[None]
        return cls(pixels, inside, (x0, y0, x1, y1), (height, width))

    @property
    def gray(self) -> Pixels:
        """The view along the direction in which its colors differ most (h, w)."""
        if self.pixels.shape[2] == 1:
            return self.pixels[..., 0]
        centered = self.pixels.reshape(-1, self.pixels.shape[2]) - self.pixels.mean(axis=(0, 1))
        direction = np.linalg.eigh(centered.T @ centered)[1][:, -1]
        return np.asarray((centered @ direction).reshape(self.pixels.shape[:2]), dtype=np.float32)

    def ellipse(self, size: float = 1.0) -> Mask:
        """The ellipse that fills ``size`` of the box's width and height, at the view's resolution."""
        rows, columns = np.flatnonzero(self.inside.any(axis=1)), np.flatnonzero(self.inside.any(axis=0))
        y = (np.arange(self.inside.shape[0]) - rows.mean()) / (len(rows) / 2 * size)
        x = (np.arange(self.inside.shape[1]) - columns.mean()) / (len(columns) / 2 * size)
        return np.asarray(y[:, None] ** 2 + x[None] ** 2 <= 1)

    def put_back(self, mask: Mask) -> Mask:
        """A mask of the view, limited to the box, as a mask of the frame."""
        x0, y0, x1, y1 = self.window
        whole = np.zeros(self.frame, dtype=bool)
        whole[y0:y1, x0:x1] = _resized((mask & self.inside).astype(np.float32), (x1 - x0, y1 - y0)) >= 0.5
        return whole


def otsu(view: BoxView) -> Mask:
    """The side of Otsu's threshold (IEEE SMC 1979) in the box that fills the box's middle more than its rim."""
    gray = view.gray
    bright = gray > otsu_threshold(gray[view.inside])
    middle = view.ellipse(0.6)
    rim = view.inside & ~view.ellipse(1.0)
    if not rim.any() or not middle.any():
        return bright
    return bright if bright[middle].mean() >= bright[rim].mean() else ~bright


def otsu_threshold(values: NDArray[np.floating[Any]]) -> float:
    """The value that splits a sample into the two classes whose means differ most."""
    counts, edges = np.histogram(values, BINS)
    centers = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * centers)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums / below - (sums[-1] - sums) / above
    between = np.nan_to_num(below * above * gap**2)
    best = np.flatnonzero(between == between.max())
    return float(edges[1:][best].mean())


@dataclass(frozen=True)
class Baseline:
    """How one baseline outlines what a box shows.

    largest  pixels a side it is computed on, where the box and its margin have more
    """

    outline: Callable[[BoxView], Mask]
    about: str
    largest: int


BASELINES: Mapping[str, Baseline] = {
    "ellipse": Baseline(BoxView.ellipse, "the ellipse in the box", 1024),
    "otsu": Baseline(otsu, "Otsu's threshold in the box, polarity from its middle and rim", 1024),
    "grabcut": Baseline(
        lambda view: grab_cut(view.pixels, view.ellipse(SEED) & view.inside, ~view.inside),
        "GrabCut from the box and its middle (own implementation: 5 + 5 Gaussians, exact minimum cuts, 5 rounds)",
        128,
    ),
    "random-walker": Baseline(
        lambda view: random_walker(view.pixels, view.ellipse(SEED) & view.inside, ~view.inside),
        "random walker, seeds in the box's middle and outside the box",
        192,
    ),
}


@dataclass(frozen=True)
class BaselinePredictor:
    """A baseline as a FramePredictor, so that every protocol and the session run on it like on a model.

    It takes a box. Following a structure, it takes the box of the outline on the frame before.
    """

    name: str

    @property
    def record(self) -> ModelRecord:
        return ModelRecord(name=self.name, version="1", sha256="", license="Apache-2.0")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(frozenset({PromptKind.BOX}))

    @property
    def window_rule(self) -> WindowRule:
        return WindowRule.CROP

    def encode(self, frame: Frame) -> NDArray[Any]:
        return frame.pixels if frame.window is None else frame.window.clip(frame.pixels)

    def decode(self, features: NDArray[Any], queries: Sequence[Query]) -> list[Candidates]:
        return [self._decode(features, query) for query in queries]

    def _decode(self, features: NDArray[Any], query: Query) -> Candidates:
        box = query.prompts.box or (None if query.reference is None else bounding_box(query.reference.mask))
        if box is None or len(query.prompts.points):
            raise PromptError(
                "E-BASELINE-PROMPT",
                f'The baseline "{self.name}" takes one box and nothing else.',
                "Leave it out of this protocol, or use a protocol that prompts with boxes.",
            )
        baseline = BASELINES[self.name]
        view = BoxView.of(features, box, baseline.largest)
        mask = view.put_back(baseline.outline(view)) if view.inside.any() else np.zeros(view.frame, dtype=bool)
        return Candidates(mask[None], np.ones(1, dtype=np.float32))


def _resized(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A plane brought to (width, height), averaging where it shrinks."""
    if plane.shape == size[::-1]:
        return plane
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
