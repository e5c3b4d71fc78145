"""Clicks alone do not say how large a structure is: which windows to look through, and which outline to trust.

The whole frame, and squares around the clicks that are halved again and again; what is seen in one is compared with
what is seen in the others. Where a later click shows that the outline so far is far off, all is looked at anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.predictors.frame_predictor import ChainedCandidates
from delineate.preprocess.crop import CropWindow
from delineate.quill.prompt_maps import CropPrompts

LEAST_WINDOW, MOST_WINDOWS = 40.0, 4  # pixels, and how many windows are looked through
SEEN_ONCE = 0.5  # trust in an outline that one window alone shows, beside its agreement with others
SAY = 0.5  # of the other windows in the predicted IoU: see backed
COMPARED = 512  # pixels along a side at which windows are compared
FAR_OFF = 0.1  # of the root of an outline's area: a click that deep in it, or that far from it, starts anew
MIDDLE, REACHED, CHANGED = 1.5, 0.35, 0.2  # how much it counts what a click tells of the error: see Objection
OFF_MIDDLE = 0.1  # nobody meets the middle
DEPTH_SIDE = 128  # pixels along a side at which depths are measured


@dataclass(frozen=True, eq=False)
class WindowPrediction(ChainedCandidates):
    """What the network says of one window.

    preference  float (K,): how much each outline is preferred. The predicted IoU, which ``scores`` keep as it is, and
                what the network does not know of: what leaves the window, does not fill the box, disobeys a click
    """

    preference: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def preferred(self) -> float:
        return float(self.preference[self.best])


def windows_for(known: CropPrompts, height: int, width: int) -> list[CropWindow]:
    """Squares around the positive clicks, from the whole frame downwards, each half as large, down to LEAST_WINDOW."""
    assert known.points is not None and known.labels is not None
    wide = CropWindow.around((0.0, 0.0, float(width), float(height)), 1.0)
    inside = known.points[known.labels] + 0.5
    middle = inside.mean(axis=0)
    reach = 2.2 * float(np.abs(inside - middle).max()) if len(inside) > 1 else 0.0
    windows = [wide]
    while len(windows) < MOST_WINDOWS and windows[-1].size / 2 >= max(LEAST_WINDOW, reach):
        size = windows[-1].size / 2
        windows.append(CropWindow(middle[0] - size / 2, middle[1] - size / 2, size))
    return windows


def window_trust(looked: Sequence[WindowPrediction]) -> NDArray[np.float32]:
    """How much to trust each outline of each window (windows x outlines,): preferred, and seen in another window."""
    outlines = np.concatenate([answer.masks for answer in looked])
    agreement = _overlaps(outlines, outlines)
    window = np.repeat(np.arange(len(looked)), len(looked[0].masks))
    elsewhere = np.where(window[:, None] != window[None], agreement, 0).max(axis=1)
    preferred = np.concatenate([answer.preference * answer.presence for answer in looked])
    return np.asarray(preferred * (SEEN_ONCE + elsewhere), np.float32)


def window_agreement(masks: NDArray[np.bool_], looked: Sequence[WindowPrediction]) -> NDArray[np.float32]:
    """How much of the predicted IoU of outlines (K, height, width) remains, seen from the windows looked through.

    The network judges an outline as if its window were the right one. What the windows show may all be meant, each
    outline as likely as it is preferred; the IoU that can be expected then has half a say.
    """
    likely = np.concatenate([answer.preference * answer.presence for answer in looked])
    overlaps = _overlaps(masks, np.concatenate([answer.masks for answer in looked]))
    expected = overlaps @ likely / max(float(likely.sum()), 1e-6)
    return np.asarray(1 - SAY + SAY * expected, np.float32)


def _overlaps(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float32]:
    """IoU of N outlines (N, height, width) with M others: (N, M); large frames are thinned out.

    Bits are counted: a product of matrices would leave threads of a BLAS spinning, while the network wants the cores.
    """
    step = max(1, max(one.shape[1:]) // COMPARED)
    a, b = (_bits(x[:, ::step, ::step]) for x in (one, other))
    shared = np.bitwise_count(a[:, None] & b).sum(axis=2, dtype=np.float32)
    areas = (np.bitwise_count(x).sum(axis=1, dtype=np.float32) for x in (a, b))
    return np.asarray(shared / np.maximum(np.add.outer(*areas) - shared, 1), np.float32)


def _bits(masks: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Masks (N, height, width) in words of 64 pixels (N, W)."""
    packed = np.packbits(masks.reshape(len(masks), -1), axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


@dataclass(frozen=True, eq=False)
class CorrectiveClick:
    """The newest click, where it says that the outline so far (height, width) is wrong.

    at        x, y; ``missing`` says that it belongs to the structure
    distance  pixels from there to the nearest one on the other side of the outline
    """

    outline: NDArray[np.bool_]
    at: NDArray[np.intp]
    missing: bool
    distance: float

    @classmethod
    def of(cls, known: CropPrompts) -> Self | None:
        """None where there is no outline so far, or no click speaks against it."""
        outline, points, labels = known.outline, known.points, known.labels
        if outline is None or not outline.any() or points is None or labels is None or not len(points):
            return None
        at, positive = _pixels(points[-1:], outline.shape)[0], bool(labels[-1])
        if outline[at[1], at[0]] == positive:
            return None
        return cls(outline, at, positive, _to_the_other_side(outline, at))

    @property
    def far_off(self) -> bool:
        """Whether it says that the outline so far is quite another thing, and not a little wrong."""
        return self.distance > FAR_OFF * float(np.sqrt(self.outline.sum()))

    def explained_by(self, mask: NDArray[np.bool_]) -> float:
        """How well a mask, were it the right outline, explains the click: 0 to 1.

        People click in the middle of the largest error. So the click lies deep in what would have to change, and no
        other change is deeper; what would change around it reaches to the border of the outline so far; and seldom is
        it next to nothing.
        """
        missing, extra = mask & ~self.outline, self.outline & ~mask
        clicked, other = (missing, extra) if self.missing else (extra, missing)
        deepest, here = _depths(clicked, self.at)
        middle = here / max(deepest, _depths(other, self.at)[0], 1.0)
        reached = min(1.0, (here + 0.5) / (self.distance + 0.5))
        changed = (missing.sum() + extra.sum()) / max(1, (mask | self.outline).sum())
        return float(((middle + OFF_MIDDLE) / (1 + OFF_MIDDLE)) ** MIDDLE * reached**REACHED * changed**CHANGED)

    def left_alone(self, mask: NDArray[np.bool_]) -> float:
        """Whether a mask is the outline so far with more, where something is missing, or with less: 0 to 1.

        The outline so far may rest on more than clicks: on a box, on the slice before. What nobody objected to stays.
        """
        lesser = self.outline if self.missing else mask
        return float((mask & self.outline).sum() / max(1, lesser.sum()))


def _to_the_other_side(outline: NDArray[np.bool_], at: NDArray[np.intp]) -> float:
    """Pixels from a place to the nearest one inside the outline, or outside of it from within."""
    rows, columns = np.flatnonzero(outline.any(axis=1)), np.flatnonzero(outline.any(axis=0))
    near = outline[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    x, y = at - (columns[0], rows[0])
    if outline[at[1], at[0]]:
        return float(ndimage.distance_transform_edt(np.pad(near, 1))[y + 1, x + 1])
    there = np.nonzero(near)
    return float(np.hypot(there[1] - x, there[0] - y).min())


def wider(window: CropWindow, height: int, width: int) -> list[CropWindow]:
    """The window twice as large, where it shows more of the frame: what was missed may reach beyond what was seen."""
    if window.size >= max(height, width):
        return []
    half = window.size / 2
    return [CropWindow(window.x - half, window.y - half, 2 * window.size).within(height, width)]


def _depths(mask: NDArray[np.bool_], at: NDArray[np.intp]) -> tuple[float, float]:
    """How deep a mask is at its deepest place, and at (x, y), in pixels, about: large masks are thinned out."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0, 0.0
    step = 1 + int(max(rows[-1] - rows[0], columns[-1] - columns[0])) // DEPTH_SIDE
    part = mask[rows[0] : rows[-1] + 1 : step, columns[0] : columns[-1] + 1 : step]
    depth = step * ndimage.distance_transform_edt(np.pad(part, 1))
    x, y = (at - (columns[0], rows[0])) // step + 1
    inside = 0 <= y < depth.shape[0] and 0 <= x < depth.shape[1]
    return float(depth.max()), float(depth[y, x]) if inside else 0.0


def click_accuracy(mask: NDArray[np.bool_], known: CropPrompts) -> float:
    """Share of the clicks that an outline obeys, the newest one counted twice; 1 where there are none."""
    if known.points is None or known.labels is None or not len(known.points):
        return 1.0
    at = _pixels(known.points, mask.shape)
    right = mask[at[:, 1], at[:, 0]] == known.labels
    return float((right.sum() + right[-1]) / (len(right) + 1))


def clicked_parts(mask: NDArray[np.bool_], known: CropPrompts) -> NDArray[np.bool_]:
    """The parts of an outline that hold a positive click; all of it where none does."""
    assert known.points is not None and known.labels is not None
    parts, _ = ndimage.label(mask)
    at = _pixels(known.points[known.labels], mask.shape)
    hit = {int(v) for v in parts[at[:, 1], at[:, 0]]} - {0}
    return np.isin(parts, list(hit)) if hit else mask


def _pixels(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Points (N, 2) as the pixels they are on: x, y."""
    return np.clip(np.round(points).astype(np.intp), 0, (shape[1] - 1, shape[0] - 1))
