"""Cleaning outlines: largest part, islands, holes, a smooth border, larger or smaller by mm, kept inside another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.clean_steps import CleanSteps
from delineate.core.errors import PromptError
from delineate.core.scan import ScanKind
from delineate.core.segmentation import Segmentation
from delineate.outlines.regions import (
    box_around,
    distance_from,
    fill_holes,
    grow,
    largest_component,
    shrink,
    smooth,
    without_islands,
)
from delineate.outlines.stacks import Stack, Steps, parts, stack_of, steps_of, union_of, unit_size, with_stack


def clean(
    segmentation: Segmentation, steps: CleanSteps, names: Sequence[str] = (), keep_within: Stack | None = None
) -> Segmentation:
    """Outlines with some structures cleaned; the frames of a video each by itself.

    Parameters
    ----------
    segmentation
        Outlines on a scan's grid, which stays.
    steps
        What is done.
    names
        The structures it is done to; none named: all.
    keep_within
        Booleans in the shape of the grid: what lies outside is removed last.

    A voxel that belonged to another structure before is never taken; one that two structures reach for goes to the
    nearer one.

    Raises
    ------
    PromptError
        For a name that is not there, and a structure that is to be kept inside itself.
    """
    chosen = tuple(names) or tuple(name for name in segmentation.names if name != steps.inside)
    if steps.inside is not None and steps.inside in chosen:
        raise PromptError(
            "E-CLEAN-INSIDE", f'"{steps.inside}" cannot be kept inside itself.', "Name another structure."
        )
    within = None if steps.inside is None else stack_of(segmentation, steps.inside)
    if keep_within is not None:
        within = keep_within if within is None else within & keep_within
    before = {name: stack_of(segmentation, name) for name in chosen}
    after = {name: _cleaned(segmentation, stack, steps) for name, stack in before.items()}
    if any((after[name] & ~before[name]).any() for name in chosen):
        after = _without_others(segmentation, before, after)
    found = segmentation
    for name, stack in after.items():
        found = with_stack(found, name, stack if within is None else stack & within)
    return found


def _cleaned(segmentation: Segmentation, stack: Stack, steps: CleanSteps) -> Stack:
    """One structure after all steps but the last, as if it were alone."""
    out = np.zeros_like(stack)
    axis = segmentation.slice_axis if segmentation.kind is ScanKind.VOLUME else None
    for part in parts(segmentation):
        if stack[part].any():
            out[part] = _cleaned_part(stack[part], steps, steps_of(segmentation), unit_size(segmentation)[0], axis)
    return out


def _cleaned_part(mask: Stack, steps: CleanSteps, mm: Steps, unit: float, axis: int | None) -> Stack:
    if steps.largest:
        mask = largest_component(mask)
    if steps.islands is not None:
        mask = without_islands(mask, steps.islands / unit * (1 - 1e-9))
    if steps.holes:
        mask = fill_holes(mask)
    if steps.holes_in_slices:
        mask = fill_holes(mask, axis)
    if steps.smooth is not None and mask.any():
        mask = smooth(mask, mm, steps.smooth)
    if steps.shrink is not None:
        mask = shrink(mask, mm, steps.shrink)
    return mask if steps.grow is None else grow(mask, mm, steps.grow)


def _without_others(segmentation: Segmentation, before: dict[str, Stack], after: dict[str, Stack]) -> dict[str, Stack]:
    """What is new of each structure only where no other one was, and no other one that reaches for it is nearer."""
    names = list(after)
    claimed = sum((after[name] & ~before[name]).astype(np.uint8) for name in names)
    nearest = np.full(segmentation.grid.shape, np.inf, np.float32) if np.max(claimed) > 1 else None
    owner = np.zeros(segmentation.grid.shape, np.int32)
    out = {}
    for number, name in enumerate(names):
        others = union_of(segmentation, [other for other in segmentation.names if other != name])
        out[name] = after[name] & (before[name] | ~others)
        if nearest is not None:
            _claim(out[name] & ~before[name], before[name], number, nearest, owner, segmentation)
    if nearest is None:
        return out
    return {n: out[n] & (before[n] | (owner == number)) for number, n in enumerate(names)}


def _claim(
    new: Stack,
    old: Stack,
    number: int,
    nearest: NDArray[np.float32],
    owner: NDArray[np.int32],
    segmentation: Segmentation,
) -> None:
    """Note where a structure is nearer to its new voxels than those before it were."""
    mm: Any = steps_of(segmentation)
    for part in parts(segmentation):
        box = box_around(new[part] | old[part])
        if box is None or not new[part].any() or not old[part].any():
            continue
        away = distance_from(old[part][box], mm).astype(np.float32)
        closer = new[part][box] & (away < nearest[part][box])
        nearest[part][box][closer] = away[closer]
        owner[part][box][closer] = number
