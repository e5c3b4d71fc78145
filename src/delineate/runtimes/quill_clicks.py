"""Clicks alone do not say how large a structure is: which windows to look through, and which outline to trust.

The whole frame, and squares around the clicks that are halved again and again; what is seen in one is compared with
what is seen in the others. Where a later click shows that the outline so far is far off, all is looked at anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.preprocess.crop import Window
from delineate.preprocess.prompt_maps import CropPrompts
from delineate.runtimes.frame_predictor import Candidates

LEAST_WINDOW, MOST_WINDOWS = 40.0, 4  # pixels, and how many windows are looked through
SEEN_ONCE = 0.5  # trust in an outline that one window alone shows, beside its agreement with others
COMPARED = 512  # pixels along a side at which windows are compared
FAR_OFF = 0.1  # of the root of an outline's area: a click that deep in it, or that far from it, starts anew


@dataclass(frozen=True, eq=False)
class Looked(Candidates):
    """What the network says of one window.

    preference  float (K,): how much each outline is preferred. The predicted IoU, which ``scores`` keep as it is, and
                what the network does not know of: what leaves the window, does not fill the box, disobeys a click
    """

    preference: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def preferred(self) -> float:
        return float(self.preference[self.best])


def windows_for(known: CropPrompts, height: int, width: int) -> list[Window]:
    """Squares around the positive clicks, from the whole frame downwards, each half as large, down to LEAST_WINDOW."""
    assert known.points is not None and known.labels is not None
    wide = Window.around((0.0, 0.0, float(width), float(height)), 1.0)
    inside = known.points[known.labels] + 0.5
    middle = inside.mean(axis=0)
    reach = 2.2 * float(np.abs(inside - middle).max()) if len(inside) > 1 else 0.0
    windows = [wide]
    while len(windows) < MOST_WINDOWS and windows[-1].size / 2 >= max(LEAST_WINDOW, reach):
        size = windows[-1].size / 2
        windows.append(Window(middle[0] - size / 2, middle[1] - size / 2, size))
    return windows


def trust_in(looked: Sequence[Looked]) -> NDArray[np.float32]:
    """How much to trust each outline of each window (windows x outlines,): preferred, and seen in another window."""
    step = max(1, max(looked[0].mask.shape) // COMPARED)
    flat = np.concatenate([answer.masks[:, ::step, ::step] for answer in looked]).reshape(
        len(looked) * len(looked[0].masks), -1
    )
    shared = flat.astype(np.float32) @ flat.T.astype(np.float32)
    areas = shared.diagonal()
    agreement = shared / np.maximum(areas[:, None] + areas[None] - shared, 1)
    window = np.repeat(np.arange(len(looked)), len(looked[0].masks))
    elsewhere = np.where(window[:, None] != window[None], agreement, 0).max(axis=1)
    preferred = np.concatenate([answer.preference * answer.presence for answer in looked])
    return np.asarray(preferred * (SEEN_ONCE + elsewhere), np.float32)


def far_off(known: CropPrompts) -> bool:
    """Whether the newest click says that the outline so far is quite another thing, and not a little wrong."""
    outline, points = known.outline, known.points
    if outline is None or points is None or known.labels is None or not known.labels.any():
        return False
    x, y = _pixels(points[-1:], outline.shape)[0]
    if outline[y, x] == known.labels[-1]:
        return False
    depth = ndimage.distance_transform_edt(outline if outline[y, x] else ~outline)[y, x]
    return bool(depth > FAR_OFF * np.sqrt(outline.sum()))


def better(answer: Looked, anew: Looked, known: CropPrompts) -> Looked:
    """The outline so far, corrected, or what clicks alone say: which of the two is more to be believed."""

    def believed(one: Looked) -> float:
        return one.preferred * one.presence * obeyed(one.mask, known)

    return anew if believed(anew) * np.sqrt(agrees(anew.mask, known)) > believed(answer) else answer


def agrees(anew: NDArray[np.bool_], known: CropPrompts) -> float:
    """Whether an outline drawn anew is the one so far with more (after a positive click) or with less: 0 to 1.

    The outline so far may rest on more than clicks: on a box, on the slice before. What nobody objected to stays.
    """
    assert known.outline is not None and known.labels is not None
    lesser = known.outline if known.labels[-1] else anew
    return float((anew & known.outline).sum() / max(1, lesser.sum()))


def obeyed(mask: NDArray[np.bool_], known: CropPrompts) -> float:
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
