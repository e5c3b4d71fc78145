"""A frame and its prompts as the channels Quill sees.

Training draws the same maps in torch (``training.tensor_maps``); a test holds them together.
Channels of (C, S, S): 0-2 color, 3 focus, 4 box, 5 positive clicks, 6 negative clicks, 7 outline so far,
8 earlier frame (gray), 9 its outline, 10 likeness, 11 relief. Quill v0 was trained on the first ten, v1 on eleven.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.preprocess.crop import Array, CropWindow

CHANNELS = 12
CLICK_SIGMA = 2.5 / 128  # of the crop's side
BINS = 36  # of a histogram over -1.5 to 1.5
RATIO_SOFTNESS = 2.0  # log ratio at which the likeness is three quarters of the way to its end
POINTED_MARGIN, POINTED_SIDE = 1.9, 96  # of the crop of the frame that was prompted
RELIEF_SHARE = 16  # of the crop's side is a neighborhood
RELIEF_SOFTNESS, LEAST_RELIEF = 1.5, 0.02
CLICKS_AT_ONCE = 16  # drawn at a time, so that memory does not grow with their number
MANY_CLICKS = 4096  # of one sign, from which on they are thinned out
CLICK_WEIGHT = 3.0  # of a clicked place against one that a box or an outline holds
FLAT_STEP, FLAT_SHARE = 1e-3, 0.9  # of a crop's range, and of its places: from which on it has no grain of its own
GRAIN = 0.06  # deviation of what a flat crop is given, as the least that scans have
FOCUS_SOFTNESS = 2.5  # spreads from the median at which the focus is half way to its end


@dataclass(frozen=True, eq=False)
class CropPrompts:
    """What is known of a structure, on the frame it is known on; everything optional.

    points   float (N, 2) in frame pixels; labels bool (N,)
    box      x0, y0, x1, y1, half-open, in frame pixels
    outline  (height, width) the outline so far on this frame
    earlier  (height, width[, channels]) a neighboring frame, with its outline
    pointed  the frame the structure was prompted on, with its outline
    """

    points: NDArray[np.float64] | None = None
    labels: NDArray[np.bool_] | None = None
    box: tuple[float, float, float, float] | None = None
    outline: NDArray[np.bool_] | None = None
    earlier: NDArray | None = None
    earlier_outline: NDArray[np.bool_] | None = None
    pointed: NDArray | None = None
    pointed_outline: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Examples:
    """Gray values (S, S) of a crop, as in the maps of another one, and how much of each place is inside."""

    gray: Array
    inside: Array


def prompt_maps(frame: NDArray, prompts: CropPrompts, window: CropWindow, side: int) -> Array:
    """The network's input (CHANNELS, side, side) for a window of a frame (height, width[, 3])."""
    maps = np.zeros((CHANNELS, side, side), dtype=np.float32)
    color = window.cut(frame, side)
    low, scale = _scaling(color)
    color = grained(np.clip((color - low) * scale - 1.0, -1.5, 1.5))
    maps[:3] = color if color.ndim == 2 else color.transpose(2, 0, 1)
    gray = maps[:3].mean(axis=0)
    if prompts.box is not None:
        maps[4] = _box_map(prompts.box, window, side)
    if prompts.points is not None and len(prompts.points) and prompts.labels is not None:
        places = window.to_crop(prompts.points, side)
        maps[5] = _click_map(places[prompts.labels], side)
        maps[6] = _click_map(places[~prompts.labels], side)
    if prompts.outline is not None:
        maps[7] = window.cut(prompts.outline, side)
    if prompts.earlier is not None and prompts.earlier_outline is not None:
        before = window.cut(prompts.earlier, side)
        before = before if before.ndim == 2 else before.mean(axis=2)
        maps[8] = grained(np.clip((before - low) * scale - 1.0, -1.5, 1.5), seed=1)
        maps[9] = window.cut(prompts.earlier_outline, side)
    maps[3] = _focus(gray, maps)
    maps[11] = relief(gray)
    pointed = None
    if prompts.pointed is not None and prompts.pointed_outline is not None and prompts.pointed_outline.any():
        pointed = _examples_of(prompts.pointed, prompts.pointed_outline, low, scale)
    maps[10] = likeness(maps, pointed)
    return maps


def _scaling(color: Array) -> tuple[float, float]:
    """What is taken from the values of a crop, and what they are multiplied with, to lie in -1 to 1."""
    low, high = (float(value) for value in np.percentile(color, (1, 99)))
    return low, 2.0 / (max(high - low, 1e-30) if high > low else 1e-6)


def grained(values: Array, seed: int = 0) -> Array:
    """Values (S, S[, 3]) of a crop; those of a drawing, flat nearly everywhere, get the grain that every scan has.

    Quill learned from scans: a click on a surface without any noise is nothing that it knows.
    """
    steps = (np.abs(np.diff(values, axis=axis)).reshape(-1) for axis in (0, 1))
    if np.mean([(step < FLAT_STEP).mean() for step in steps]) < FLAT_SHARE:
        return values
    grain = np.random.default_rng(seed).normal(0, GRAIN, values.shape[:2]).astype(np.float32)
    return values + (grain if values.ndim == 2 else grain[..., None])


def _examples_of(pointed: NDArray, outline: NDArray[np.bool_], low: float, scale: float) -> Examples:
    rows, columns = (np.flatnonzero(outline.any(axis=axis)) for axis in (1, 0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    window = CropWindow.around(box, POINTED_MARGIN)
    shown = window.cut(pointed, POINTED_SIDE)
    gray = shown if shown.ndim == 2 else shown.mean(axis=2)
    return Examples(np.clip((gray - low) * scale - 1, -1.5, 1.5), window.cut(outline, POINTED_SIDE))


def _focus(gray: Array, maps: Array) -> Array:
    """Gray values as seen from the structure: 0 what the prompt points at, towards -1 darker, towards 1 brighter."""
    if maps[5].any():
        values = gray[maps[5] > 0.5]
    elif maps[7].any():
        values = gray[maps[7] > 0.5]
    elif maps[9].any():
        values = maps[8][maps[9] > 0.5]
    else:
        values = _core(gray, maps[4])
    if values.size == 0:
        return np.zeros_like(gray)
    middle = float(np.median(values))
    spread = max(float(np.median(np.abs(values - middle))) * 1.48, 0.04)
    return np.tanh((gray - middle) / (FOCUS_SOFTNESS * spread)).astype(np.float32)


def likeness(maps: Array, pointed: Examples | None = None) -> Array:
    """How much more often the colors of a place occur where the prompt points than elsewhere, -1 to 1.

    The log ratio of two color histograms (gray, and the two color differences where there is color), as in the
    first step of GrabCut: inside against outside of the box or of the outline so far, or around the clicks. Where a
    structure is followed, the mean of what the frame before says and what the frame ``pointed`` at says.
    """
    gray = maps[:3].mean(axis=0)
    inside, outside = _examples(maps)
    if inside.sum() < 1 or outside.sum() < 1:
        return np.zeros_like(gray)
    seen = maps[8] if maps[9].any() and not (maps[4].any() or maps[5].any() or maps[7].any()) else gray
    ratio = _log_ratio(seen, gray, inside, outside)
    if pointed is not None and seen is not gray:
        ratio = np.float32(0.5) * (ratio + _log_ratio(pointed.gray, gray, pointed.inside, 1 - pointed.inside))
    if seen is gray and np.abs(maps[0] - maps[1]).max() > 0.02:
        for one, other in ((0, 1), (2, 1)):
            difference = maps[one] - maps[other]
            ratio = ratio + _log_ratio(difference, difference, inside, outside)
    return np.tanh(ratio / RATIO_SOFTNESS).astype(np.float32)


def relief(gray: Array) -> Array:
    """Gray values against their neighborhood, in its own standard deviations, -1 to 1: thin vessels stand out."""
    size = gray.shape[0] // RELIEF_SHARE | 1
    mean = ndimage.uniform_filter(gray, size)
    variance = np.maximum(ndimage.uniform_filter(gray * gray, size) - mean * mean, 0)
    return np.tanh((gray - mean) / (RELIEF_SOFTNESS * (np.sqrt(variance) + LEAST_RELIEF))).astype(np.float32)


def _examples(maps: Array) -> tuple[Array, Array]:
    """Weights (S, S) of the places that are surely inside, and of those that are surely or probably outside."""
    positive, negative = (maps[5] > 0.5).astype(np.float32), (maps[6] > 0.5).astype(np.float32)
    if maps[7].any():
        inside, outside = maps[7], 1 - maps[7]
    elif maps[4].any():
        inside, outside = _ellipse(maps[4]), 1 - maps[4]
    elif maps[5].any():
        inside, outside = positive, 0.05 * (1 - positive)
    else:
        inside, outside = maps[9], 1 - maps[9]
    own = CLICK_WEIGHT if maps[7].any() or maps[4].any() else 0.0
    return (inside + own * positive) * (1 - negative), (outside + CLICK_WEIGHT * negative) * (1 - positive)


def _ellipse(box: Array) -> Array:
    """The middle of a box: an ellipse of seven tenths of its size."""
    rows, columns = np.flatnonzero(box.max(axis=1) > 0.5), np.flatnonzero(box.max(axis=0) > 0.5)
    if not len(rows) or not len(columns):
        return box
    y = (np.arange(box.shape[0]) - (rows[0] + rows[-1]) / 2) / (0.35 * (len(rows) + 1))
    x = (np.arange(box.shape[1]) - (columns[0] + columns[-1]) / 2) / (0.35 * (len(columns) + 1))
    return (y[:, None] ** 2 + x[None] ** 2 <= 1).astype(np.float32)


def _log_ratio(seen: Array, looked_at: Array, inside: Array, outside: Array) -> Array:
    """Log ratio of smoothed histograms of ``seen``, at the values of ``looked_at``."""
    bins = np.clip((seen + 1.5) * (BINS / 3), 0, BINS - 1).astype(np.intp).ravel()
    histograms: list[NDArray[np.float64]] = []
    for weight in (inside, outside):
        counts: NDArray[np.float64] = np.convolve(
            np.bincount(bins, weight.ravel(), BINS), (0.06, 0.24, 0.4, 0.24, 0.06), mode="same"
        )
        histograms.append(counts / max(float(counts.sum()), 1e-6) + 0.3 / BINS)
    ratio = np.log(histograms[0] / histograms[1]).astype(np.float32)
    places = bins if looked_at is seen else np.clip((looked_at + 1.5) * (BINS / 3), 0, BINS - 1).astype(np.intp).ravel()
    return ratio[places].reshape(looked_at.shape)


def _core(gray: Array, box: Array) -> Array:
    """The gray values in the inner half of the box."""
    rows, columns = np.flatnonzero(box.max(axis=1) > 0.5), np.flatnonzero(box.max(axis=0) > 0.5)
    if not len(rows) or not len(columns):
        return np.zeros(0, dtype=np.float32)
    (r0, r1), (c0, c1) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
    dr, dc = (r1 - r0) // 4, (c1 - c0) // 4
    return gray[r0 + dr : r1 - dr, c0 + dc : c1 - dc].ravel()


def _box_map(box: tuple[float, float, float, float], window: CropWindow, side: int) -> Array:
    """How much of each crop pixel the box covers."""
    scale = side / window.size
    x0, x1 = (box[0] - window.x) * scale, (box[2] - window.x) * scale
    y0, y1 = (box[1] - window.y) * scale, (box[3] - window.y) * scale
    edges = np.arange(side + 1, dtype=np.float64)
    along_x = np.diff(np.clip(edges, x0, x1))
    along_y = np.diff(np.clip(edges, y0, y1))
    return np.outer(along_y, along_x).astype(np.float32)


def _click_map(places: NDArray[np.float64], side: int) -> Array:
    """A soft dot for each click, the strongest where they meet."""
    dots = np.zeros((side, side))
    if len(places) > MANY_CLICKS:  # a pair of pixels apart they cannot be distinguished
        places = 2 * np.unique(np.rint(np.clip(places, -side, 2 * side) / 2), axis=0)
    axis = np.arange(side)
    for start in range(0, len(places), CLICKS_AT_ONCE):
        part = places[start : start + CLICKS_AT_ONCE]
        along_x = np.exp(-((axis[None] - part[:, :1]) ** 2) / (2 * (CLICK_SIGMA * side) ** 2))
        along_y = np.exp(-((axis[None] - part[:, 1:]) ** 2) / (2 * (CLICK_SIGMA * side) ** 2))
        np.maximum(dots, np.einsum("ny,nx->nyx", along_y, along_x).max(axis=0), out=dots)
    return dots.astype(np.float32)
