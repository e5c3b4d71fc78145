"""The part of a color picture that a lens has filled: round on fundus photographs, cut off in endoscopes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.preprocess.crop import Array

DARK = -0.85  # brightest color of what is beyond, in units of prompt maps
LEAST_DARK, LEAST_SEEN = 0.03, 0.2  # shares of the crop: without a dark surrounding there is no such view
COLORED = 0.05  # difference between colors from which on a picture is no gray one
RIM = 1 / 64  # of the crop's side: how far the rim of the view reaches in
LIKE, SAME = 0.6, 0.85  # IoU with the view from which on an outline is doubted, and at which it is the view itself


def field_of_view(colors: Array) -> NDArray[np.bool_] | None:
    """Which places (S, S) of a crop (3, S, S) a lens has filled; None for gray pictures and where all are."""
    if np.abs(colors[0] - colors[1]).max() < COLORED:
        return None
    parts, _ = ndimage.label(colors.max(axis=0) < DARK)
    rim = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    beyond = np.isin(parts, np.unique(rim[rim > 0]))
    if beyond.mean() < LEAST_DARK or beyond.mean() > 1 - LEAST_SEEN:
        return None
    return ~beyond


def without_rim(colors: Array) -> NDArray[np.bool_]:
    """Places (S, S) of a crop (3, S, S) that are neither beyond the view nor on its rim, which looks like a vessel."""
    view = field_of_view(colors)
    if view is None:
        return np.ones(colors.shape[1:], bool)
    return np.asarray(ndimage.binary_erosion(view, iterations=max(1, round(RIM * view.shape[0])), border_value=1))


def is_no_view(outlines: NDArray[np.bool_], colors: Array) -> NDArray[np.float32]:
    """1 for outlines (K, S, S) of something in the view, down to 0.1 for one of the view itself: nobody means that."""
    view = field_of_view(colors)
    if view is None:
        return np.ones(len(outlines), np.float32)
    shared = (outlines & view).sum(axis=(1, 2)) / np.maximum((outlines | view).sum(axis=(1, 2)), 1)
    return np.interp(shared, (LIKE, SAME), (1.0, 0.1)).astype(np.float32)
