"""3D Slicer's segments in one label map: they lie in layers where they overlap, and layers count labels anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.io.readers.header_fields import whole_numbers
from delineate.io.readers.nrrd_header import NrrdHeader


def joined_segments(header: NrrdHeader, layers: NDArray[Any]) -> tuple[NDArray[Any], list[Notice]]:
    """The layers (..., n) of a .seg.nrrd as one label map (...): a later segment lies on an earlier one.

    One layer keeps its numbers. Of several, a segment keeps its label value unless an earlier one has it in another
    layer; then it gets the next free number. Raises InputError for a segment in a layer that is not there.
    """
    if layers.shape[-1] == 1:
        return layers[..., 0], []
    whole = np.zeros(layers.shape[:-1], dtype=layers.dtype if layers.dtype.kind in "ui" else np.int32)
    taken: set[int] = set()
    overlap = renamed = False
    for _, layer, value in _places(header, layers.shape[-1]):
        label = value if value not in taken else max(taken) + 1
        renamed |= label != value
        taken.add(label)
        if label > np.iinfo(whole.dtype).max:
            whole = whole.astype(np.int32)
        inside = layers[..., layer] == value
        overlap |= bool(whole[inside].any())
        whole[inside] = label
    notices = []
    if overlap:
        notices.append(Notice("W-SEGMENTS-OVERLAP", "Segments overlap; where they do, the later one is taken."))
    if renamed:
        notices.append(
            Notice("W-SEGMENTS-NUMBERED", "Segments of several layers share label values; they were renumbered.")
        )
    return whole, notices


@dataclass(frozen=True, eq=False)
class Segment:
    """One segment: what 3D Slicer says of it, its value, and where it is (...), booleans."""

    said: Mapping[str, str]
    value: int
    inside: NDArray[np.bool_]


def separate_segments(header: NrrdHeader, layers: NDArray[Any]) -> Iterator[Segment]:
    """Each segment of layers (..., n) by itself. Raises InputError for a segment in a layer that is not there."""
    for number, layer, value in _places(header, layers.shape[-1]):
        yield Segment(header.segments[number], value, layers[..., layer] == value)


def _places(header: NrrdHeader, count: int) -> Iterator[tuple[int, int, int]]:
    """The number of each segment, its layer and its value."""
    for number, said in header.segments.items():
        prefix = f"Segment{number}_"
        layer = whole_numbers(header.path, f"{prefix}Layer", said.get("Layer", "0"), 1, least=0)[0]
        value = whole_numbers(header.path, f"{prefix}LabelValue", said.get("LabelValue", "1"), 1, least=0)[0]
        if layer >= count:
            raise InputError(
                "E-NRRD-LAYER",
                f"{header.path.name}: segment {number} is in layer {layer} of {count}.",
                "Write the segmentation anew with the program it came from.",
            )
        yield number, layer, value
