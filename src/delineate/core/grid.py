"""Where a scan's voxels are in space. Every coordinate conversion there is lives here.

Voxel coordinates are array indices in the file's own storage order, as every viewer shows them: ``(i, j, k)``,
with voxel centers at whole numbers. World coordinates are millimeters, RAS (right, anterior, superior
positive: NIfTI) or LPS (left, posterior, superior positive: DICOM, ITK).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from delineate.core.errors import GeometryError

Affine = NDArray[np.float64]

SHORTEST_STEP, LONGEST_STEP = 1e-9, 1e6  # mm between voxels
FARTHEST = 1e9  # mm from the origin
FLAT = 1e-6  # volume of the cell of axes of length 1: below it two of them point the same way
CLEARLY_THICKER = 2.0  # times the step of both other axes: slices lie along this one
_LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])
_CODES = (("L", "R"), ("P", "A"), ("I", "S"))


def patient_axis(direction: str) -> int:
    """Which axis of the patient a direction of ``Grid.axis_codes`` lies on: 0 L-R, 1 P-A, 2 I-S."""
    return next(axis for axis, ends in enumerate(_CODES) if direction in ends)


class Space(StrEnum):
    """The coordinates a prompt or point is given in."""

    VOXEL = "voxel"
    RAS = "RAS"
    LPS = "LPS"


class Placement(StrEnum):
    """How much is known about where the voxels are."""

    WORLD = "world"  # orientation in the patient, spacing and origin are known
    SCALE = "scale"  # only the spacing in mm is known
    PIXELS = "pixels"  # nothing is known: photographs, video


@dataclass(frozen=True, eq=False)
class Grid:
    """The lattice of a scan: its size and its place in space.

    shape      voxels along each axis, ``(x, y)`` for an image, ``(i, j, k)`` for a volume, ``(x, y, t)`` for a video
    affine     (4, 4) float64, voxel ``(i, j, k, 1)`` to RAS mm; identity where nothing is known
    axes       one name an axis
    placement  what the affine may be trusted for
    """

    shape: tuple[int, ...]
    affine: Affine = field(default_factory=lambda: np.eye(4))
    axes: tuple[str, ...] = ()
    placement: Placement = Placement.WORLD

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) not in (2, 3) or min(shape) < 1:
            raise GeometryError(
                "E-GRID-SHAPE",
                f"A grid has two or three axes of at least one voxel, not {shape}.",
                "Give the shape as (x, y), (x, y, t) or (i, j, k).",
            )
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise GeometryError(
                "E-GRID-AFFINE",
                f"An affine is a 4 x 4 matrix, not {affine.shape}.",
                "Give the matrix from voxel indices to millimeters, its last row 0 0 0 1.",
            )
        if not np.isfinite(affine).all():
            raise GeometryError(
                "E-GRID-NAN", "The affine holds NaN or infinite numbers.", "Repair the header of the file."
            )
        if not np.array_equal(affine[3], (0, 0, 0, 1)):
            raise GeometryError(
                "E-GRID-AFFINE",
                f"The last row of the affine is {affine[3]}, not 0 0 0 1.",
                "Give the matrix from voxel indices to millimeters, its last row 0 0 0 1.",
            )
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if not (lengths < LONGEST_STEP).all() or not (np.abs(affine[:3, 3]) < FARTHEST).all():
            raise GeometryError(
                "E-GRID-SIZE",
                f"The affine has steps of up to {lengths.max():g} mm and begins at {np.abs(affine[:3, 3]).max():g} mm.",
                "Repair the header of the file.",
            )
        if lengths.min() < SHORTEST_STEP or abs(np.linalg.det(affine[:3, :3] / lengths)) < FLAT:
            raise GeometryError(
                "E-GRID-SINGULAR",
                "The affine is singular: an axis has no length, or two axes point the same way.",
                "Repair the header of the file.",
            )
        axes = self.axes or (("x", "y") if len(shape) == 2 else ("i", "j", "k"))
        if len(axes) != len(shape):
            raise GeometryError(
                "E-GRID-AXES", f"{len(shape)} axes need {len(shape)} names, not {axes}.", "Give a name an axis."
            )
        affine.flags.writeable = False
        for name, value in (("shape", shape), ("affine", affine), ("axes", tuple(axes))):
            object.__setattr__(self, name, value)

    @classmethod
    def pixels(cls, width: int, height: int, frames: int | None = None) -> Grid:
        """The grid of a photograph, or of a video of ``frames`` frames: pixels without millimeters."""
        shape = (width, height) if frames is None else (width, height, frames)
        return cls(shape, axes=("x", "y", "t")[: len(shape)], placement=Placement.PIXELS)

    @classmethod
    def scaled(cls, shape: tuple[int, ...], spacing: ArrayLike, axes: tuple[str, ...] = ()) -> Grid:
        """A grid of which only the spacing (mm an axis) is known."""
        steps = np.ones(3)
        steps[: len(shape)] = np.asarray(spacing, dtype=float)[: len(shape)]
        return cls(shape, np.diag([*steps, 1.0]), axes, Placement.SCALE)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """Distance between neighboring voxel centers along each axis, mm (1.0 where unknown)."""
        return tuple(float(n) for n in np.linalg.norm(self.affine[:3, : self.ndim], axis=0))

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm3 (area in mm2 for a 2D grid)."""
        steps = self.affine[:3, : self.ndim]
        if self.ndim == 2:
            return float(np.linalg.norm(np.cross(steps[:, 0], steps[:, 1])))
        return float(abs(np.linalg.det(steps)))

    @cached_property
    def axis_codes(self) -> tuple[str, ...]:
        """The body direction each axis runs towards, such as ``("L", "P", "S")``; axis names where unknown."""
        if self.placement is not Placement.WORLD:
            return self.axes
        return tuple(_CODES[world][int(sign > 0)] for world, sign in self._closest_axes())

    def _closest_axes(self) -> list[tuple[int, float]]:
        """For each voxel axis the world axis it lies closest to, and its sign; no world axis twice."""
        directions = self.affine[:3, : self.ndim] / np.linalg.norm(self.affine[:3, : self.ndim], axis=0)
        left = np.abs(directions)
        found: dict[int, tuple[int, float]] = {}
        for _ in range(self.ndim):
            world, voxel = np.unravel_index(np.argmax(left), left.shape)
            found[int(voxel)] = (int(world), float(directions[world, voxel]))
            left[world, :] = left[:, voxel] = -1
        return [found[axis] for axis in range(self.ndim)]

    @cached_property
    def skew_degrees(self) -> float:
        """How far the axes are from right angles, in degrees (0 for an orthogonal grid)."""
        unit = self.affine[:3, : self.ndim] / np.linalg.norm(self.affine[:3, : self.ndim], axis=0)
        cosines = np.abs((unit.T @ unit)[np.triu_indices(self.ndim, 1)])
        return float(np.degrees(np.arcsin(np.clip(cosines.max(), 0, 1))))

    @property
    def handedness(self) -> int:
        """+1 for a right-handed voxel frame, -1 for a left-handed one."""
        return 1 if np.linalg.det(self.affine[:3, :3]) > 0 else -1

    @property
    def thick_axis(self) -> int:
        """The axis slices are taken along: the last one, unless another is clearly thicker than both its neighbors."""
        steps = self.spacing
        for axis in range(len(steps) - 1):
            if steps[axis] >= CLEARLY_THICKER * max(step for n, step in enumerate(steps) if n != axis):
                return axis
        return len(steps) - 1

    def to_world(self, voxels: ArrayLike, space: Space | str = Space.RAS) -> NDArray[np.float64]:
        """Voxel coordinates (..., ndim) to millimeters (..., 3) in RAS or LPS.

        Raises GeometryError where the orientation in the patient is unknown.
        """
        space, points = Space(space), self._checked(voxels, self.ndim)
        if space is Space.VOXEL:
            return points
        self._require_world(space)
        ras = points @ self.affine[:3, : self.ndim].T + self.affine[:3, 3]
        return ras * _LPS_FROM_RAS if space is Space.LPS else ras

    def to_voxel(self, points: ArrayLike, space: Space | str = Space.RAS) -> NDArray[np.float64]:
        """Millimeters (..., 3) in RAS or LPS to voxel coordinates (..., ndim), not rounded.

        A 2D grid gives the foot of the perpendicular on its plane.
        """
        space = Space(space)
        if space is Space.VOXEL:
            return self._checked(points, self.ndim)
        self._require_world(space)
        world = self._checked(points, 3)
        ras = world * _LPS_FROM_RAS if space is Space.LPS else world
        return (ras - self.affine[:3, 3]) @ np.linalg.pinv(self.affine[:3, : self.ndim]).T

    def _checked(self, points: ArrayLike, width: int) -> NDArray[np.float64]:
        array = np.asarray(points, dtype=np.float64)
        if array.shape[-1:] != (width,):
            raise GeometryError(
                "E-GRID-POINT",
                f"Expected {width} coordinates a point, got shape {array.shape}.",
                "Give an array of shape (..., axes).",
            )
        return array

    def _require_world(self, space: Space) -> None:
        if self.placement is not Placement.WORLD:
            raise GeometryError(
                "E-GRID-NO-WORLD",
                f"{space.value} millimeters need a scan with a known orientation; this one has only "
                f"{'a spacing' if self.placement is Placement.SCALE else 'pixels'}.",
                "Give the prompt in voxel coordinates instead.",
            )

    def contains(self, voxels: ArrayLike) -> NDArray[np.bool_]:
        """Whether points (..., ndim) fall into a voxel of the grid (half a voxel beyond the outer centers)."""
        points = self._checked(voxels, self.ndim)
        return np.asarray(((points >= -0.5) & (points < np.array(self.shape) - 0.5)).all(axis=-1))

    def reoriented(self, codes: tuple[str, str, str]) -> tuple[Grid, tuple[int, ...], tuple[bool, ...]]:
        """This volume's grid with its axes permuted and flipped to run towards ``codes``, such as ``("R", "A", "S")``.

        Returns the grid, the permutation and the flips: ``np.flip(array.transpose(permutation), axes where flipped)``
        is the array on the new grid. World positions of voxels do not change.
        """
        self._require_world(Space.RAS)
        wanted = [next(world for world in range(3) if code in _CODES[world]) for code in codes]
        if self.ndim != 3 or sorted(wanted) != [0, 1, 2]:
            raise GeometryError(
                "E-GRID-CODES",
                f"{codes} does not name the three body axes of a volume.",
                "Name each once: R or L, A or P, S or I.",
            )
        closest = self._closest_axes()
        permutation = tuple(next(v for v in range(3) if closest[v][0] == world) for world in wanted)
        flips = tuple(self.axis_codes[v] != code for v, code in zip(permutation, codes, strict=True))
        step = np.zeros((4, 4))
        step[3, 3] = 1
        for new, (old, flipped) in enumerate(zip(permutation, flips, strict=True)):
            step[old, new] = -1 if flipped else 1
            step[old, 3] = self.shape[old] - 1 if flipped else 0
        shape = tuple(self.shape[v] for v in permutation)
        return Grid(shape, self.affine @ step, (), self.placement), permutation, flips

    def same_as(self, other: Grid, tolerance: float = 1e-4) -> bool:
        """Whether two grids have the same voxels in the same places (tolerance in mm)."""
        return self.shape == other.shape and bool(np.allclose(self.affine, other.affine, rtol=0, atol=tolerance))

    def __repr__(self) -> str:
        steps = " x ".join(f"{s:.4g}" for s in self.spacing)
        size = " x ".join(str(n) for n in self.shape)
        unit = "px" if self.placement is Placement.PIXELS else f"at {steps} mm"
        return f"Grid({size} {unit}, {''.join(self.axis_codes)})"
