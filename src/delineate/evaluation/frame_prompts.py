"""How the papers point at a structure on one frame, given its true outline.

Every rule is a function (truth, random numbers) to the prompts of that frame; ``truth`` is bool (height, width).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import label as components

from delineate.core.prompts import Box, Mask, Point, Prompt
from delineate.core.resolve import FramePrompts
from delineate.evaluation.simulated_prompts import FrameBox, bounding_box

Truth = NDArray[np.bool_]
PointsAt = Callable[[Truth, np.random.Generator], FramePrompts]

INPUT = 1024  # pixels along a side of the input that the papers' box shifts are meant for
MEDSAM_SHIFT = 20.0
MOST_PARTS = 3  # of a structure in several pieces (SAM 2 on 18 sets)
EIGHT = np.ones((3, 3), dtype=bool)  # neighbors of a pixel, corners too


def tight_box(truth: Truth, rng: np.random.Generator) -> FramePrompts:
    """The true box."""
    return FramePrompts(box=bounding_box(truth))


def grown_box(truth: Truth, rng: np.random.Generator, least: float, most: float, side: int = INPUT) -> FramePrompts:
    """The true box, each side moved outwards by ``least`` to ``most`` pixels of a square input of ``side``."""
    x0, y0, x1, y1 = bounding_box(truth)
    height, width = truth.shape
    left, up, right, down = rng.uniform(least, most, 4) * (width, height, width, height) / side
    return FramePrompts(box=(max(0.0, x0 - left), max(0.0, y0 - up), min(width, x1 + right), min(height, y1 + down)))


def biosam_box(truth: Truth, rng: np.random.Generator) -> FramePrompts:
    """The true box with width and height changed by a normal tenth, the center kept (BioSAM 2's released code)."""
    x0, y0, x1, y1 = bounding_box(truth)
    height, width = truth.shape
    half = np.maximum(np.array([x1 - x0, y1 - y0]) * (1 + 0.1 * rng.standard_normal(2)), 1) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    low, high = np.clip((x - half[0], y - half[1]), 0, None), np.minimum((x + half[0], y + half[1]), (width, height))
    return FramePrompts(box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])))


def random_points(truth: Truth, rng: np.random.Generator, count: int) -> FramePrompts:
    """Points drawn evenly over the structure, without drawing one twice."""
    rows, columns = np.nonzero(truth)
    drawn = rng.choice(len(rows), min(count, len(rows)), replace=False)
    points = np.stack([columns[drawn], rows[drawn]], axis=1).astype(float)
    return FramePrompts(points, np.ones(len(points), dtype=bool))


def middle_points(truth: Truth, rng: np.random.Generator, parts: int = 1) -> FramePrompts:
    """The innermost pixel of each of the largest pieces, drawn where several are as deep (SAM 2 on 18 sets)."""
    points = []
    for piece in pieces(truth)[:parts]:
        depth = np.asarray(distance_transform_edt(np.pad(piece, 1)))[1:-1, 1:-1]
        rows, columns = np.nonzero(depth >= depth.max())
        drawn = int(rng.integers(len(rows)))
        points.append((float(columns[drawn]), float(rows[drawn])))
    return FramePrompts(np.array(points), np.ones(len(points), dtype=bool))


def largest_box(truth: Truth, rng: np.random.Generator) -> FramePrompts:
    """The true box of the largest piece (SAM 2 on 18 sets)."""
    return FramePrompts(box=bounding_box(pieces(truth)[0]))


def true_mask(truth: Truth, rng: np.random.Generator) -> FramePrompts:
    """The true outline."""
    return FramePrompts(mask=truth)


def pieces(truth: Truth) -> list[Truth]:
    """The connected pieces, corners count as connected, the largest first."""
    numbered, count = components(truth, structure=EIGHT)
    areas = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    return [np.asarray(numbered == number + 1) for number in np.argsort(-areas, kind="stable")]


def as_prompts(given: FramePrompts, frame: int) -> list[Prompt]:
    """The same as prompts of a session."""
    found: list[Prompt] = []
    if given.mask is not None:
        found.append(Mask.from_array(given.mask, frame=frame))
    if given.box is not None:
        found.append(Box(*given.box, frame=frame))
    for (x, y), positive in zip(given.points, given.labels, strict=True):
        found.append(Point(float(x), float(y), frame=frame, positive=bool(positive)))
    return found


def box_of(given: FrameBox) -> PointsAt:
    """A box that came with the case, whatever the truth is."""
    return lambda truth, rng: FramePrompts(box=given)


MEDSAM_SHIFTED: PointsAt = partial(grown_box, least=0.0, most=MEDSAM_SHIFT)
MEDSAM_FIXED: PointsAt = partial(grown_box, least=MEDSAM_SHIFT, most=MEDSAM_SHIFT)
