"""Outlines as arrays in the order of the grid's axes: (i, j, k) of volumes, (x, y) of images, (x, y, t) of clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.grid import Placement
from delineate.core.rle import Rle
from delineate.core.scan import ScanKind
from delineate.core.segmentation import Segmentation

Stack = NDArray[np.bool_]
Steps = NDArray[np.float64]  # (3, axes): mm from a voxel to the next along each axis; pixels where no mm are known
Cut = tuple[Any, ...]


def stack_of(segmentation: Segmentation, name: str) -> Stack:
    """Where one structure is, as booleans in the shape of the grid."""
    stack = np.zeros(segmentation.grid.shape, bool)
    for index, mask in segmentation[name].masks.items():
        stack[_frame(segmentation, index)] = mask.decode().T
    return stack


def with_stack(segmentation: Segmentation, name: str, stack: Stack) -> Segmentation:
    """The outlines with one structure where ``stack`` says; frames that do not change keep their confidence."""
    one = segmentation[name]
    masks: dict[int, Rle] = {}
    for index in range(len(segmentation)):
        frame = stack[_frame(segmentation, index)].T
        if frame.any():
            after, before = Rle.encode(frame), one.masks.get(index)
            masks[index] = before if before is not None and after == before else after
    scores = {index: score for index, score in one.scores.items() if masks.get(index) is one.masks.get(index)}
    return segmentation.replacing(replace(one, masks=masks, scores=scores))


def union_of(segmentation: Segmentation, names: Sequence[str]) -> Stack:
    """Where any of some structures is."""
    stack = np.zeros(segmentation.grid.shape, bool)
    for name in names:
        stack |= stack_of(segmentation, name)
    return stack


def steps_of(segmentation: Segmentation) -> Steps:
    """Millimeters from voxel to voxel along each axis that lies in space."""
    grid = segmentation.grid
    count = 2 if segmentation.kind is ScanKind.VIDEO else grid.ndim
    return np.eye(3)[:, :count] if grid.placement is Placement.PIXELS else np.asarray(grid.affine[:3, :count])


def parts(segmentation: Segmentation) -> Iterator[Cut]:
    """What is looked at by itself: a whole image or volume, every frame of a video."""
    if segmentation.kind is not ScanKind.VIDEO:
        yield (...,)
        return
    for index in range(len(segmentation)):
        yield (slice(None), slice(None), index)


def unit_size(segmentation: Segmentation) -> tuple[float, str]:
    """Size of a voxel in the unit people measure in: ml of a volume, cm2 of an image, pixels where no mm are known."""
    grid = segmentation.grid
    if grid.placement is Placement.PIXELS or segmentation.kind is ScanKind.VIDEO:
        return 1.0, "voxels" if segmentation.kind is ScanKind.VOLUME else "pixels"
    return (grid.voxel_volume / 1000, "ml") if grid.ndim == 3 else (grid.voxel_volume / 100, "cm2")


def _frame(segmentation: Segmentation, index: int) -> Cut:
    """Where a frame lies in a stack; its axes are those of the grid, x before y."""
    if segmentation.kind is ScanKind.IMAGE:
        return (...,)
    axis = segmentation.slice_axis if segmentation.kind is ScanKind.VOLUME else 2
    return tuple(index if n == axis else slice(None) for n in range(3))
