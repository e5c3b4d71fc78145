"""Structures drawn on some slices, carried to the slices between: the drawn ones stay bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from delineate.core.rle import Rle
from delineate.core.scan import ScanKind
from delineate.core.segmentation import Segmentation, SegmentedObject
from delineate.core.shape_interpolation import interpolate
from delineate.outlines.stacks import steps_of


def fill_between(segmentation: Segmentation, names: Sequence[str] = (), largest_gap: int | None = None) -> Segmentation:
    """Shapes between drawn slices (or frames of a video), by signed distances.

    Parameters
    ----------
    segmentation
        Outlines, each drawn on two slices or more.
    names
        The structures that are filled; none named: all.
    largest_gap
        More empty slices than this between two drawn ones stay empty; None: none are too many.

    A pixel of another structure is not taken where that was drawn.

    Raises
    ------
    PromptError
        For a name that is not there.
    """
    chosen = tuple(names) or segmentation.names
    found = segmentation
    for name in chosen:
        found = found.replacing(_filled(segmentation, segmentation[name], largest_gap))
    return found


def _filled(segmentation: Segmentation, one: SegmentedObject, largest_gap: int | None) -> SegmentedObject:
    drawn = {index: one.masks[index].decode() for index in one.frames}
    steps = np.linalg.norm(steps_of(segmentation), axis=0)
    across = [n for n in range(3) if n != segmentation.slice_axis] if segmentation.kind is ScanKind.VOLUME else [0, 1]
    between = interpolate(drawn, (float(steps[across[0]]), float(steps[across[1]])))
    masks = {index: one.masks[index] for index in drawn}
    ordered = sorted(drawn)
    for index, mask in between.items():
        after = np.searchsorted(ordered, index)
        gap = ordered[after] - ordered[after - 1] - 1
        if largest_gap is not None and gap > largest_gap:
            continue
        free = mask & ~_others(segmentation, one.name, index)
        if free.any():
            masks[index] = Rle.encode(free)
    scores = {index: score for index, score in one.scores.items() if index in drawn}
    return replace(one, masks=masks, scores=scores)


def _others(segmentation: Segmentation, name: str, index: int) -> np.ndarray:
    taken = np.zeros(segmentation.frame_shape, bool)
    for one in segmentation.objects:
        if one.name != name and index in one.masks:
            taken |= one.masks[index].decode()
    return taken
