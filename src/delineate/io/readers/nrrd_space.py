"""Where a NRRD file says its voxels are: axes in space, directions, units."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Grid, Placement
from delineate.io.readers.header_fields import numbers, unusable
from delineate.io.readers.itk_space import ras_affine
from delineate.io.readers.nrrd_header import NrrdHeader
from delineate.io.readers.units import millimeters, unit_notice

Vector = tuple[float, ...]
_ANATOMICAL: Final = {
    "right-anterior-superior": "RAS", "ras": "RAS", "left-anterior-superior": "LAS", "las": "LAS",
    "left-posterior-superior": "LPS", "lps": "LPS",
}  # fmt: skip
_UNORIENTED: Final = ("scanner-xyz", "3d-right-handed", "3d-left-handed")
_IN_SPACE: Final = ("domain", "space", "???", "none", "")  # kinds of axes
_VECTORS: Final = re.compile(r"\s*(?:(none)|\(([^()]*)\))\s*,?", re.IGNORECASE)


def spatial_axes(header: NrrdHeader, count: int) -> list[int]:
    """Which of ``count`` axes are in space: those with a direction, or else of such a kind.

    Raises InputError for directions of another number of axes.
    """
    directions = _directions(header)
    if directions and len(directions) != count:
        raise unusable(header.path, "space directions", header.fields["space directions"], f"{count} vectors")
    if directions:
        return [n for n, direction in enumerate(directions) if direction is not None]
    axes = [n for n in range(count) if header.kind(n) in _IN_SPACE]
    return axes if len(axes) < count or count <= 3 else axes[:3]


def grid_of(header: NrrdHeader, shape: list[int], spatial: list[int]) -> tuple[Grid, list[Notice]]:
    """The grid of the axes in space, in millimeters; and what should be known of it."""
    directions = [direction for direction in _directions(header) if direction is not None]
    if not directions:
        return _scaled(header, tuple(shape), spatial)
    if len(directions[0]) != 3:
        scale, notices = _unit(header, "space units")
        return Grid.scaled(tuple(shape), [scale * float(np.linalg.norm(d)) for d in directions]), notices
    space = _space(header)
    scale, notices = _unit(header, "space units")
    origin = _origin(header)
    rows = [scale * np.array(direction) for direction in directions]
    if len(rows) == 2:
        across = np.cross(rows[0], rows[1])
        rows.append(across / (np.linalg.norm(across) or 1.0))
    if space is None:
        notices.append(
            Notice("W-NO-ORIENTATION", "The file does not say how the patient lies: axes are i, j, k, not R, A, S.")
        )
    affine = ras_affine(rows, scale * np.array(origin), space or "RAS")
    return Grid(tuple(shape), affine, placement=Placement.WORLD if space else Placement.SCALE), notices


def _scaled(header: NrrdHeader, shape: tuple[int, ...], spatial: list[int]) -> tuple[Grid, list[Notice]]:
    """From ``spacings``, one an axis of the file, NaN where an axis has none."""
    words = header.fields.get("spacings", "").split()
    if not words:
        return Grid(shape, placement=Placement.PIXELS), []
    if len(words) <= spatial[-1]:
        raise unusable(header.path, "spacings", header.fields["spacings"], "one spacing for each axis")
    wanted = [words[n] for n in spatial]
    if all(word.lower() == "nan" for word in wanted):
        return Grid(shape, placement=Placement.PIXELS), []
    scale, notices = _unit(header, "units")
    steps = [scale * abs(v) for v in numbers(header.path, "spacings", " ".join(wanted), len(shape))]
    if min(steps) <= 0:
        raise unusable(header.path, "spacings", header.fields["spacings"], "a spacing above 0 for each axis")
    return Grid.scaled(shape, steps), notices


def _space(header: NrrdHeader) -> str | None:
    """RAS, LAS or LPS; None where the file does not say how the patient lies."""
    told = header.fields.get("space", "").lower().removesuffix("-time")
    told = told[:3] if told in ("rast", "last", "lpst") else told
    if told and told not in _ANATOMICAL and told not in _UNORIENTED:
        raise unusable(header.path, "space", header.fields["space"], "a space such as left-posterior-superior")
    return _ANATOMICAL.get(told)


def _unit(header: NrrdHeader, field: str) -> tuple[float, list[Notice]]:
    """One unit of length in mm. Raises InputError for one that is unknown, and for several."""
    told = re.findall(r'"([^"]*)"', header.fields.get(field, "")) or header.fields.get(field, "").split()
    lengths = [unit for unit in told if unit.strip() and unit.lower() not in ("none", "???", "s", "ms", "sec")]
    scales = {millimeters(header.path, unit) for unit in lengths}
    if len(scales) > 1:
        raise InputError(
            "E-UNIT",
            f"{header.path.name} gives lengths in several units: {', '.join(lengths[:4])}.",
            "Give all axes lengths of one unit.",
        )
    scale = next(iter(scales), 1.0)
    return scale, [] if scale == 1.0 else [unit_notice(lengths[0])]


def _directions(header: NrrdHeader) -> list[Vector | None]:
    return _vectors(header, "space directions")


def _origin(header: NrrdHeader) -> Vector:
    found = _vectors(header, "space origin")
    if not found:
        return (0.0, 0.0, 0.0)
    if len(found) != 1 or found[0] is None or len(found[0]) != 3:
        raise unusable(header.path, "space origin", header.fields["space origin"], "one vector of 3 numbers")
    return found[0]


def _vectors(header: NrrdHeader, field: str) -> list[Vector | None]:
    """Vectors in brackets or ``none``, any white space between and in them; of a space with time those of space.

    Raises InputError for a text of another grammar, and for vectors that are not all of one length.
    """
    text = header.fields.get(field, "")
    found: list[Vector | None] = []
    at = 0
    while at < len(text.rstrip()):
        match = _VECTORS.match(text, at)
        if match is None:
            raise unusable(header.path, field, text, "vectors such as (1,0,0)")
        found.append(None if match[1] else tuple(numbers(header.path, field, match[2])))
        at = match.end()
    lengths = {len(vector) for vector in found if vector is not None}
    if len(lengths) > 1 or not lengths <= {2, 3, 4}:
        raise unusable(header.path, field, text, "vectors of the same 2 or 3 numbers")
    if lengths != {4}:
        return found
    if not header.fields.get("space", "").lower().endswith(("time", "rast", "last", "lpst")):
        raise unusable(header.path, field, text, "vectors of 3 numbers")
    return [
        None if vector is None or (not any(vector[:3]) and field != "space origin") else vector[:3] for vector in found
    ]
