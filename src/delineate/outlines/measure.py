"""Numbers on outlines: volume, surface, RECIST axes, centroid, intensities; of each structure, and of each slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.grid import Placement, Space
from delineate.core.scan import Scan, ScanKind
from delineate.core.segmentation import Segmentation, SegmentedObject
from delineate.outlines.diameters import Diameters, diameters
from delineate.outlines.stacks import Stack, stack_of, steps_of
from delineate.outlines.surface import surface_area

Number = float | int | None


@dataclass(frozen=True)
class Intensities:
    """Values of the scan inside a structure; NaN and infinite ones are left out."""

    mean: float | None
    sd: float | None
    least: float | None
    median: float | None
    greatest: float | None

    @classmethod
    def of(cls, values: NDArray[Any]) -> Intensities:
        """Of some values; None of none."""
        finite = np.asarray(values, np.float64)
        finite = finite[np.isfinite(finite)]
        if not finite.size:
            return cls(None, None, None, None, None)
        found = finite.mean(), finite.std(), finite.min(), np.median(finite), finite.max()
        return cls(*(float(one) for one in found))


@dataclass(frozen=True)
class StructureMeasures:
    """One structure. Lengths are mm, areas cm2, volumes ml; None where the grid knows no millimeters, or it is empty.

    voxels          of all frames; pixels of an image or a video
    volume_ml       of a volume
    area_cm2        of an image
    surface_cm2     of a volume (``delineate.outlines.surface``)
    perimeter_mm    of an image
    long_axis_mm    the longest of all slices (``delineate.outlines.diameters``); short_axis_mm on the same slice
    long_axis_px, short_axis_px
                    the same in pixels where no millimeters are known
    axis_slice      that slice
    centroid_voxel  mean index along each axis
    centroid_mm     mean position, in RAS or LPS as asked; None where the place in the patient is unknown
    first_slice, last_slice, slices
                    where it is seen; frames of a video
    """

    structure: str
    label: int
    voxels: int
    volume_ml: float | None
    area_cm2: float | None
    surface_cm2: float | None
    perimeter_mm: float | None
    long_axis_mm: float | None
    short_axis_mm: float | None
    long_axis_px: float | None
    short_axis_px: float | None
    axis_slice: int | None
    centroid_voxel: tuple[float, ...] | None
    centroid_mm: tuple[float, ...] | None
    first_slice: int | None
    last_slice: int | None
    slices: int
    intensity: Intensities | None

    def row(self) -> dict[str, Any]:
        """Flat, as a table has it."""
        return _flat(asdict(self))


@dataclass(frozen=True)
class SliceMeasures:
    """One structure on one slice or frame; units as of ``StructureMeasures``, areas in mm2."""

    structure: str
    label: int
    slice: int
    pixels: int
    area_mm2: float | None
    long_axis_mm: float | None
    short_axis_mm: float | None
    long_axis_px: float | None
    short_axis_px: float | None
    intensity: Intensities | None

    def row(self) -> dict[str, Any]:
        """Flat, as a table has it."""
        return _flat(asdict(self))


@dataclass(frozen=True)
class Measures:
    """All structures, and all their slices; in the order of the file."""

    structures: tuple[StructureMeasures, ...]
    slices: tuple[SliceMeasures, ...]


_AXES: Final = "xyz"


def measure(
    segmentation: Segmentation, scan: Scan | None = None, names: Sequence[str] = (), space: Space = Space.RAS
) -> Measures:
    """Measure structures on their own grid.

    Parameters
    ----------
    segmentation
        Outlines.
    scan
        The scan they lie on, on the same grid, for intensities; of colors the mean of the channels.
    names
        Which structures; none named: all.
    space
        Of centroids: RAS or LPS millimeters.

    Raises
    ------
    PromptError
        For a name that is not there.
    """
    chosen = [segmentation[name] for name in names] or list(segmentation.objects)
    each = [_measured(segmentation, one, scan, space) for one in chosen]
    return Measures(tuple(one for one, _ in each), tuple(row for _, rows in each for row in rows))


def axes_by_frame(segmentation: Segmentation, name: str) -> dict[int, Diameters]:
    """Long and short axis of a structure on every frame it is seen on; pixels where no millimeters are known."""
    steps, found = _frame_steps(segmentation), dict[int, Diameters]()
    one = segmentation[name]
    for index in one.frames:
        x0, y0, x1, y1 = one.masks[index].box or (0, 0, 0, 0)
        axes = diameters(one.masks[index].columns(x0, x1)[y0:y1].T, steps)
        assert axes is not None
        found[index] = axes.moved(x0, y0)
    return found


def knows_millimeters(segmentation: Segmentation) -> bool:
    """Whether lengths on a frame are mm; otherwise they are pixels."""
    return segmentation.grid.placement is not Placement.PIXELS


def _measured(
    segmentation: Segmentation, one: SegmentedObject, scan: Scan | None, space: Space
) -> tuple[StructureMeasures, list[SliceMeasures]]:
    stack = stack_of(segmentation, one.name)
    known = knows_millimeters(segmentation)
    rows, values = [], list[NDArray[Any]]()
    widest: tuple[Diameters, int] | None = None
    for index, axes in axes_by_frame(segmentation, one.name).items():
        mask = one.masks[index].decode()
        if widest is None or axes.long > widest[0].long:
            widest = axes, index
        inside = None if scan is None else _gray(scan.pixels(index))[mask]
        if inside is not None:
            values.append(inside)
        rows.append(_slice_row(segmentation, one, index, mask, axes, inside, known))
    volume, image = (segmentation.kind is kind for kind in (ScanKind.VOLUME, ScanKind.IMAGE))
    amount = one.area * segmentation.grid.voxel_volume
    border = surface_area(stack, steps_of(segmentation)) if known and one.area and (volume or image) else None
    axes_mm, axes_px = _both(None if widest is None else widest[0], known)
    whole = StructureMeasures(
        structure=one.name,
        label=one.label,
        voxels=one.area,
        volume_ml=amount / 1000 if known and volume else None,
        area_cm2=amount / 100 if known and image else None,
        surface_cm2=border / 100 if border is not None and volume else None,
        perimeter_mm=border if image else None,
        long_axis_mm=axes_mm[0],
        short_axis_mm=axes_mm[1],
        long_axis_px=axes_px[0],
        short_axis_px=axes_px[1],
        axis_slice=None if widest is None else widest[1],
        centroid_voxel=_centroid(stack),
        centroid_mm=_world(segmentation, stack, space),
        first_slice=one.frames[0] if one.frames else None,
        last_slice=one.frames[-1] if one.frames else None,
        slices=len(one.frames),
        intensity=None if scan is None else Intensities.of(np.concatenate(values) if values else np.empty(0)),
    )
    return whole, rows


def _slice_row(
    segmentation: Segmentation,
    one: SegmentedObject,
    index: int,
    mask: NDArray[np.bool_],
    axes: Diameters,
    inside: NDArray[Any] | None,
    known: bool,
) -> SliceMeasures:
    across, down = _frame_steps(segmentation).T
    pixels = int(mask.sum())
    axes_mm, axes_px = _both(axes, known)
    return SliceMeasures(
        structure=one.name,
        label=one.label,
        slice=index,
        pixels=pixels,
        area_mm2=pixels * float(np.linalg.norm(np.cross(across, down))) if known else None,
        long_axis_mm=axes_mm[0],
        short_axis_mm=axes_mm[1],
        long_axis_px=axes_px[0],
        short_axis_px=axes_px[1],
        intensity=None if inside is None else Intensities.of(inside),
    )


def _both(axes: Diameters | None, known: bool) -> tuple[tuple[Number, Number], tuple[Number, Number]]:
    """Long and short axis in mm, and in pixels; whichever is known."""
    nothing = (None, None)
    if axes is None:
        return nothing, nothing
    return ((axes.long, axes.short), nothing) if known else (nothing, (axes.long, axes.short))


def _frame_steps(segmentation: Segmentation) -> NDArray[np.float64]:
    """(3, 2): mm from pixel to pixel along x and y of a frame."""
    steps = steps_of(segmentation)
    if segmentation.kind is not ScanKind.VOLUME:
        return steps[:, :2]
    return steps[:, [axis for axis in range(3) if axis != segmentation.slice_axis]]


def _gray(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels if pixels.ndim == 2 else pixels.mean(axis=2)


def _centroid(stack: Stack) -> tuple[float, ...] | None:
    if not stack.any():
        return None
    places = np.nonzero(stack)
    return tuple(float(one.mean()) for one in places)


def _world(segmentation: Segmentation, stack: Stack, space: Space) -> tuple[float, ...] | None:
    center = _centroid(stack)
    if center is None or segmentation.grid.placement is not Placement.WORLD:
        return None
    return tuple(float(one) for one in segmentation.grid.to_world(center, space))


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """Tuples and nested values in columns of their own; the whole group is left out where it is None."""
    row: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "intensity":
            row |= {f"intensity_{key}": one for key, one in (value or {}).items()}
        elif name.startswith("centroid"):
            stem = name.removeprefix("centroid_")
            row |= {f"centroid_{axis}_{stem}": one for axis, one in zip(_AXES, value or (None,) * 3, strict=False)}
        else:
            row[name] = value
    return row
