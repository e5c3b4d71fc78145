"""Outlines as the server sends them, put into Slicer's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np


def decoded(mask: dict[str, Any]) -> np.ndarray:
    """Run lengths, column by column and beginning with background, as bool (height, width)."""
    height, width = mask["size"]
    counts = np.asarray(mask["counts"], int)
    if counts.sum() != height * width:
        raise ValueError("The server sent an outline of another size.")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape((height, width), order="F")


def encoded(mask: np.ndarray) -> dict[str, Any]:
    """A mask (height, width) as a prompt: what a person accepts as the outline."""
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    if flat[0]:
        counts = [0, *counts]
    return {"type": "mask", "height": int(mask.shape[0]), "width": int(mask.shape[1]), "counts": counts}


def put(
    masks: list[dict[str, Any]], volumes: dict[str, np.ndarray], shape: tuple[int, ...], slice_axis: int
) -> set[str]:
    """Write changed outlines into the structures' arrays (k, j, i) uint8; the names of those that changed.

    volumes  by structure; one that is not there is made
    shape    (k, j, i)
    """
    changed = set()
    for one in masks:
        name = one["object"]
        if name not in volumes:
            volumes[name] = np.zeros(shape, np.uint8)
        place: list[Any] = [slice(None)] * 3
        place[2 - slice_axis] = one["frame"]
        volumes[name][tuple(place)] = decoded(one)
        changed.add(name)
    return changed
