"""Two files of labels held against each other: overlap, distances of surfaces, volumes; a picture of where they differ.

The metrics are those of ``delineate.evaluation``: tables of models and two readers are measured by one thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from delineate.core.alignment import moved
from delineate.core.errors import InputError
from delineate.core.grid import Grid
from delineate.core.segmentation import Color, Segmentation, SegmentedObject
from delineate.evaluation.metrics import NSD_TOLERANCE, dice, iou
from delineate.evaluation.surface import SurfaceDistances
from delineate.labels.reading import LabelFile
from delineate.outlines.regions import box_around, is_sheared
from delineate.outlines.stacks import Stack, Steps, parts, stack_of, steps_of, unit_size, with_stack

BOTH: Final[Color] = (64, 200, 90)
FIRST: Final[Color] = (230, 75, 53)
SECOND: Final[Color] = (66, 135, 245)


@dataclass(frozen=True)
class Comparison:
    """One structure in two files. Distances are mm, or pixels where no mm are known.

    dice, iou   overlap, 0 to 1
    nsd         share of both surfaces within the tolerance of the other one
    hd95        distance that 95 % of either surface stay within; infinite if one of them is empty
    assd        mean distance of the surfaces
    first, second
                size in ``unit``; ``difference`` second less first, ``percent`` of the first
    """

    structure: str
    dice: float
    iou: float
    nsd: float
    hd95: float
    assd: float
    first: float
    second: float
    difference: float
    percent: float | None
    unit: str

    def row(self) -> dict[str, Any]:
        """As a table has it; infinite distances stay empty."""
        return {key: None if value in (np.inf, -np.inf) else value for key, value in asdict(self).items()}


Pair = tuple[str, str | None, str | None]  # what a structure is called here; in the first file; in the second


def pairs(first: LabelFile, second: LabelFile) -> list[Pair]:
    """Which structures belong together: by name where both files have names, by label value where one has none.

    Single structures of two files belong together whatever they are called.
    """
    one, two = first.segmentation, second.segmentation
    if len(one.objects) == len(two.objects) == 1:
        return [(one.names[0], one.names[0], two.names[0])]
    if first.named and second.named:
        both = [*one.names, *(name for name in two.names if name not in one)]
        return [(n, n if n in one else None, n if n in two else None) for n in both]
    ours, theirs = ({o.label: o.name for o in s.objects} for s in (one, two))
    names = ours | theirs if second.named else theirs | ours
    return [(names[value], ours.get(value), theirs.get(value)) for value in sorted(names)]


def compare(
    first: Segmentation, second: Segmentation, matched: Sequence[Pair], tolerance: float = NSD_TOLERANCE
) -> tuple[Comparison, ...]:
    """Compare structures of two segmentations on one grid; what one of them lacks is empty there.

    tolerance   of the normalized surface Dice, mm

    Raises InputError for a tolerance below 0.
    """
    if not tolerance >= 0:
        raise InputError(
            "E-COMPARE-TOLERANCE", f"--tolerance {tolerance:g} is below 0.", "Give millimeters, 0 or more."
        )
    return tuple(_compared(first, second, pair, tolerance) for pair in matched)


def _compared(first: Segmentation, second: Segmentation, pair: Pair, tolerance: float) -> Comparison:
    name, *both = pair
    a, b = (
        np.zeros(first.grid.shape, bool) if own is None else stack_of(outlines, own)
        for own, outlines in zip(both, (first, second), strict=True)
    )
    amount, unit = unit_size(first)
    sizes = float(a.sum()) * amount, float(b.sum()) * amount
    empty = not a.any() and not b.any()
    apart = None if empty else _distances(first, a, b)
    return Comparison(
        structure=name,
        dice=dice(a, b),
        iou=iou(a, b),
        nsd=1.0 if apart is None else apart.within(tolerance),
        hd95=0.0 if apart is None else apart.hausdorff(),
        assd=0.0 if apart is None else apart.mean(),
        first=sizes[0],
        second=sizes[1],
        difference=sizes[1] - sizes[0],
        percent=100 * (sizes[1] - sizes[0]) / sizes[0] if sizes[0] else None,
        unit=unit,
    )


def _distances(outlines: Segmentation, a: Stack, b: Stack) -> SurfaceDistances:
    steps = steps_of(outlines)
    found = []
    for part in parts(outlines):
        box = box_around(a[part] | b[part])
        if box is None:
            continue
        one, two = a[part][box], b[part][box]
        spacing = tuple(float(n) for n in np.linalg.norm(steps, axis=0))
        if is_sheared(steps) and steps.shape[1] == 3:
            one, two, spacing = _straightened(one, two, steps)
        found.append(SurfaceDistances.between(one, two, spacing))
    return SurfaceDistances.joined(found)


def _straightened(one: Stack, two: Stack, steps: Steps) -> tuple[Stack, Stack, tuple[float, ...]]:
    """Masks of a sheared grid on one whose axes stand at right angles, at half the step; and its spacing."""
    axes, upper = np.linalg.qr(steps)
    axes = axes * np.sign(np.diag(upper))
    spacing = np.linalg.norm(steps, axis=0) / 2
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(one.shape) + 1) - 1
    there = corners @ steps.T @ axes
    low, high = there.min(axis=0), there.max(axis=0)
    affine, straight = np.eye(4), np.eye(4)
    affine[:3, :3] = steps
    straight[:3, :3] = axes * spacing
    straight[:3, 3] = axes @ low
    shape = tuple(int(n) for n in np.ceil((high - low) / spacing) + 1)
    source, target = Grid(one.shape, affine), Grid(shape, straight)
    moved_masks = [np.asarray(moved(mask, source, target), bool) for mask in (one, two)]
    return moved_masks[0], moved_masks[1], tuple(float(n) for n in spacing)


def difference(
    first: Segmentation, second: Segmentation, matched: Sequence[Pair], names: tuple[str, str]
) -> Segmentation:
    """Where two segmentations agree and where one alone has a structure, as three structures to look at.

    names   what the two are called in the legend
    """
    agree, only_first, only_second = (np.zeros(first.grid.shape, bool) for _ in range(3))
    for _, own, other in matched:
        a = stack_of(first, own) if own is not None else np.zeros(first.grid.shape, bool)
        b = stack_of(second, other) if other is not None else np.zeros(first.grid.shape, bool)
        agree |= a & b
        only_first |= a & ~b
        only_second |= b & ~a
    found = replace(first, objects=())
    wanted = (
        ("both", BOTH, agree & ~only_first & ~only_second),
        (f"only {names[0]}", FIRST, only_first),
        (f"only {names[1]}", SECOND, only_second & ~only_first),
    )
    for number, (name, color, stack) in enumerate(wanted, 1):
        found = replace(found, objects=(*found.objects, SegmentedObject(name, number, color)))
        found = with_stack(found, name, stack)
    return found
