"""Slices of a structure in parts along its length: which slice of a support stands for which slice of a target.

ProtoSAM (arXiv 2407.07042) and SSL-ALPNet (arXiv 2007.09886) take three support slices, at the middle of each third.
"""

from __future__ import annotations

from collections.abc import Sequence

PARTS = 3  # in the papers


def support_slices(slices: Sequence[int], parts: int = PARTS) -> list[int]:
    """The slice at the middle of each part of the slices that hold a structure; the middle one where they are few."""
    return part_middles(slices, parts if len(slices) >= parts else 1)


def part_middles(slices: Sequence[int], parts: int = PARTS) -> list[int]:
    """The slice at the middle of each part (of three: at 1/6, 1/2 and 5/6 of the list); one may be that of several."""
    ordered = sorted(slices)
    return [ordered[int((n + 0.5) / parts * len(ordered))] for n in range(parts)]


def part_of(slice_number: int, first: int, last: int, parts: int = PARTS) -> int:
    """Which part of a structure from slice ``first`` to ``last`` a slice is in: 0 to ``parts`` - 1."""
    length = max((last - first) / parts, 1e-9)
    return min(max(int((slice_number - first) / length), 0), parts - 1)
