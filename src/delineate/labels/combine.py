"""Putting outlines together: files merged, structures united, intersected, taken from one another, renamed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np

from delineate.core.errors import PromptError
from delineate.core.segmentation import MOST_LABELS, Segmentation
from delineate.outlines.stacks import Stack, stack_of, union_of, with_stack

_OPERATOR: Final = re.compile(r"\s+([+&-])\s+")


class How(StrEnum):
    """What is done with a structure that several segmentations have."""

    UNION = "union"  # where any of them has it
    INTERSECT = "intersect"  # where all of them have it
    MINUS = "minus"  # where the first has it and no other one
    MAJORITY = "majority"  # where more than half of them have it


def merge(first: Segmentation, others: Sequence[Segmentation], how: How = How.UNION) -> Segmentation:
    """All structures of several segmentations on one grid; those of one name become one.

    Label values stay where they are free, the first one's always; colors are those of the first that has a structure.
    """
    found = first
    every = (first, *others)
    for name in dict.fromkeys(name for one in every for name in one.names):
        holders = [one for one in every if name in one]
        if name not in found:
            about = holders[0][name]
            taken = {o.label for o in found.objects}
            found = found.adding(name, about.color, None if about.label in taken else about.label)
        if how is How.UNION and len(holders) == 1:
            stack = stack_of(holders[0], name)
        else:
            stack = _together([stack_of(one, name) if name in one else _nothing(one) for one in every], how)
        found = with_stack(found, name, stack)
    return found


def _nothing(one: Segmentation) -> Stack:
    return np.zeros(one.grid.shape, bool)


def _together(stacks: Sequence[Stack], how: How) -> Stack:
    match how:
        case How.UNION:
            return np.logical_or.reduce(stacks)
        case How.INTERSECT:
            return np.logical_and.reduce(stacks)
        case How.MINUS:
            return np.asarray(stacks[0] & ~np.logical_or.reduce(stacks[1:]))
    return np.asarray(np.sum(stacks, axis=0) * 2 > len(stacks))


def made(segmentation: Segmentation, name: str, formula: str) -> Segmentation:
    """With a structure worked out from others: ``"outer - inner"``, ``"left + right"``, ``"lesion & liver"``.

    Worked out from left to right; blanks stand around an operator. An existing structure of the name is replaced.

    Raises PromptError for a name in the formula that is not there.
    """
    words = _OPERATOR.split(formula.strip())
    stack = stack_of(segmentation, words[0])
    for operator, word in zip(words[1::2], words[2::2], strict=True):
        other = stack_of(segmentation, word)
        match operator:
            case "+":
                stack = stack | other
            case "-":
                stack = stack & ~other
            case _:
                stack = stack & other
    return with_stack(segmentation if name in segmentation else segmentation.adding(name), name, stack)


def renamed(segmentation: Segmentation, names: Mapping[str, str]) -> Segmentation:
    """With other names; two structures may exchange theirs. Raises PromptError for one that is not there, or twice."""
    for old in names:
        _ = segmentation[old]
    empty = replace(segmentation, objects=())
    for one in segmentation.objects:
        name = names.get(one.name, one.name)
        empty = empty.adding(name, one.color, one.label)  # a name that is taken, or none, is refused
    changed = [
        replace(one, name=new.name, color=new.color)
        for one, new in zip(segmentation.objects, empty.objects, strict=True)
    ]
    return replace(segmentation, objects=tuple(changed))


def relabeled(segmentation: Segmentation, values: Mapping[str, int]) -> Segmentation:
    """With other label values. Raises PromptError for a name that is not there, and for a value that two have."""
    for name, value in values.items():
        _ = segmentation[name]
        if not 1 <= value <= MOST_LABELS:
            raise PromptError("E-LABEL-RANGE", f"Label {value} is not between 1 and {MOST_LABELS}.", "Choose another.")
    objects = tuple(replace(one, label=values.get(one.name, one.label)) for one in segmentation.objects)
    return replace(segmentation, objects=objects)


def kept(segmentation: Segmentation, names: Sequence[str]) -> Segmentation:
    """Only some structures, in the order they are named. Raises PromptError for a name that is not there."""
    return replace(segmentation, objects=tuple(segmentation[name] for name in dict.fromkeys(names)))


def one_over_another(segmentation: Segmentation) -> Segmentation:
    """With every voxel in one structure at most: the later one keeps it, as a label map has it."""
    found = segmentation
    for number, name in enumerate(segmentation.names):
        later = union_of(segmentation, segmentation.names[number + 1 :])
        found = with_stack(found, name, stack_of(segmentation, name) & ~later)
    return found
