"""One chamber on one frame: mitral annulus, apex, long axis, discs, and the contour that strain is taken from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from delineate.core.errors import InputError
from delineate.echo.border import Points, border_of, evenly, one_piece, smoothed
from delineate.echo.record import LEFT_ATRIUM, LEFT_VENTRICLE, MYOCARDIUM

DISCS: Final = 20  # of the method of discs (ASE/EACVI 2015)
CONTOUR_POINTS: Final = 65  # from annulus over apex to annulus
NEAR: Final = 2.5  # pixels from a neighboring structure at which a border touches it
BASE: Final = (0.08, 0.6)  # share of the border that a base may be, to be believed
STRAIGHT: Final = 0.9  # distance of a base's ends over its length, from which it counts as straight
POINTED: Final = 0.6  # of the base's width, what a chamber is deeper than to have an apex
SUBPIXELS: Final = 4  # a pixel's side is divided into, so that discs share its area
LEAST_PIXELS: Final = 12
APART: Final = 0.02  # of an outline outside its largest part, above which it is told

Mask = NDArray[np.bool_]
Vector = NDArray[np.float64]  # x, y
Run = tuple[int, int]  # first and last place of a part of a closed border


@dataclass(frozen=True, eq=False)
class Chamber:
    """A chamber in one view on one frame; lengths are mm, or pixels where the picture has no calibration.

    contour    (N, 2) x, y in pixels of the frame, from the annulus that lies left in the picture over the apex to the
               other one; N is fixed and the points lie at equal distances, so that frames are compared point by point
    apex       the place of the border farthest from the middle of the annulus, of a flat chamber the one right over
               that; x, y in pixels
    length     of the long axis, from the middle of the annulus to the apex
    area       of the outline
    apart      share of the outline that lies in other parts than the one that is measured
    diameters  (DISCS,) across the long axis, from the annulus to the apex
    arc        length of the contour, what longitudinal strain is the change of
    """

    contour: Points
    apex: tuple[float, float]
    length: float
    area: float
    apart: float
    diameters: NDArray[np.float64]
    arc: float


def chamber_of(
    mask: Mask,
    spacing: tuple[float, float] = (1.0, 1.0),
    wall: Mask | None = None,
    beyond: Mask | None = None,
    points: int = CONTOUR_POINTS,
) -> Chamber:
    """Measure a chamber from its outline.

    Parameters
    ----------
    mask
        (height, width), the cavity. Its largest part counts, holes filled.
    spacing
        mm from pixel to pixel, right and down.
    wall
        The myocardium, if it is outlined: the annulus is where it leaves the border; gaps elsewhere do no harm.
    beyond
        The chamber behind the valve, if it is outlined: the base is where the border touches it. Without either the
        annulus is the pair of corners at the wide end.
    points
        Of the contour.

    Raises
    ------
    InputError
        For an empty outline, and for one that is too small to have a shape.
    """
    mask = np.asarray(mask, bool)
    whole = one_piece(mask)
    part, corner = _window(whole)
    piece, wall, beyond = (None if one is None else np.asarray(one, bool)[part] for one in (whole, wall, beyond))
    assert piece is not None
    if int(piece.sum()) < LEAST_PIXELS:
        raise InputError(
            "E-ECHO-SMALL",
            f"The outline of the chamber has {int(piece.sum())} pixels, too few to have a length and a width.",
            f"Outline it on that frame; at least {LEAST_PIXELS} pixels are needed.",
        )
    step = np.asarray(spacing, float)
    pixels = border_of(piece)
    border = pixels * step
    first, last = _annulus(piece, pixels, border, wall, beyond)
    middle = (border[first] + border[last]) / 2
    wide = smoothed(border)
    open_curve = np.concatenate([border[[last]], _between(wide, last, first), border[[first]]])
    apex = _apex(border, first, last)
    length = float(np.linalg.norm(border[apex] - middle))
    contour = evenly(open_curve, points)
    if contour[0, 0] > contour[-1, 0]:
        contour = contour[::-1]
    return Chamber(
        contour=contour / step + corner,
        apex=(float(pixels[apex, 0]) + corner[0], float(pixels[apex, 1]) + corner[1]),
        length=length,
        area=float(piece.sum()) * float(step.prod()),
        apart=1 - float((whole & mask).sum() / mask.sum()),
        diameters=_diameters(piece, step, middle, border[apex]),
        arc=float(np.linalg.norm(np.diff(contour, axis=0), axis=1).sum()),
    )


def area_curve(masks: Iterable[Mask]) -> list[int]:
    """Pixels of a chamber frame by frame: of its largest part, holes filled; 0 where there is nothing to measure."""
    areas = [int(one_piece(mask).sum()) if mask.any() else 0 for mask in masks]
    return [area if area >= LEAST_PIXELS else 0 for area in areas]


def ventricle_of(parts: Mapping[str, Mask], spacing: tuple[float, float] = (1.0, 1.0)) -> Chamber:
    """The left ventricle among the structures of a frame, which tell where its base is.

    Raises InputError as ``chamber_of`` does.
    """
    return chamber_of(parts[LEFT_VENTRICLE], spacing, parts.get(MYOCARDIUM), parts.get(LEFT_ATRIUM))


def atrium_of(parts: Mapping[str, Mask], spacing: tuple[float, float] = (1.0, 1.0)) -> Chamber:
    """The left atrium, likewise: its base is the annulus too, so its axis runs from there to the far wall."""
    return chamber_of(parts[LEFT_ATRIUM], spacing, beyond=parts.get(LEFT_VENTRICLE))


def _window(piece: Mask) -> tuple[tuple[slice, slice], tuple[int, int]]:
    """The part of a frame round a piece, and where it begins: x, y."""
    margin = int(NEAR) + 2
    rows, columns = (np.flatnonzero(piece.any(axis=axis)) for axis in (1, 0))
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    return (slice(top, int(rows[-1]) + margin + 1), slice(left, int(columns[-1]) + margin + 1)), (left, top)


def _annulus(piece: Mask, pixels: Points, border: Points, wall: Mask | None, beyond: Mask | None) -> Run:
    """Places on the border where the base begins and ends.

    A wall may be missing elsewhere, too, where the sector cuts it off, and a chamber behind may be outlined in part: of
    the bases that the neighbors and the shape tell, the one that agrees best with the others.
    """
    ways = []
    for other, bases_of in ((wall, _left_by), (beyond, _lain_against)):
        if other is not None and other.any():
            bases = bases_of(_distances(pixels, other))
            ways.append([one for one in bases if BASE[0] <= len(_places(one, len(border))) / len(border) <= BASE[1]])
    ways.append([_corners(piece, pixels, border)])

    curve = smoothed(border)

    def agreed(way: int, base: Run) -> float:
        others = (found for number, found in enumerate(ways) if number != way)
        overlaps = (max((_overlap(base, one, len(border)) for one in found), default=0.0) for found in others)
        return sum(overlaps) + min(STRAIGHT, _straightness(curve[_places(base, len(border))]))

    return max(((agreed(n, base), -n, base) for n, way in enumerate(ways) for base in way), key=lambda t: t[:2])[2]


def _places(run: Run, count: int) -> NDArray[np.int64]:
    """The places of a run on a closed curve of so many."""
    return np.asarray((run[0] + np.arange((run[1] - run[0]) % count + 1)) % count)


def _straightness(curve: Points) -> float:
    """Distance of the ends of a curve over its length."""
    length = float(np.linalg.norm(np.diff(curve, axis=0), axis=1).sum())
    return float(np.linalg.norm(curve[-1] - curve[0])) / max(length, 1e-9)


def _overlap(one: Run, other: Run, count: int) -> float:
    """Intersection over union of two runs."""
    places, others = set(_places(one, count).tolist()), set(_places(other, count).tolist())
    return len(places & others) / len(places | others)


def _distances(pixels: Points, other: Mask) -> NDArray[np.float64]:
    """Pixels from each place of a border to another structure."""
    away = ndimage.distance_transform_edt(~np.pad(np.asarray(other, bool), 2))
    return np.asarray(ndimage.map_coordinates(away, pixels[:, ::-1].T + 2, order=1), float)


def _apex(border: Points, first: int, last: int) -> int:
    """The place farthest from the middle of the base; of a flat chamber the one right over it.

    Of a chamber that is wider than twice its depth the ends of the base would be farthest.
    """
    base, away = border[last] - border[first], border - (border[first] + border[last]) / 2
    width = max(float(np.linalg.norm(base)), 1e-9)
    heights = (base[0] * away[:, 1] - base[1] * away[:, 0]) / width
    heights *= np.sign(heights.sum())
    if heights.max() > POINTED * width:
        return int(np.linalg.norm(away, axis=1).argmax())
    high = np.flatnonzero(heights >= heights.max() / 2)
    return int(high[np.abs(away[high] @ base).argmin()])


def _left_by(distances: NDArray[np.float64]) -> list[Run]:
    """Parts of a border that have no wall beside them, the longest first."""
    return [_widened(run, distances) for run in _runs(distances > NEAR)]


def _widened(run: Run, distances: NDArray[np.float64]) -> Run:
    """A part without a wall to where the wall begins."""
    (first, last), close = run, _close(distances)
    for _ in range(len(distances) // 2):
        moved = False
        if distances[first - 1] > close:
            first, moved = (first - 1) % len(distances), True
        if distances[(last + 1) % len(distances)] > close:
            last, moved = (last + 1) % len(distances), True
        if not moved:
            break
    return first, last


def _lain_against(distances: NDArray[np.float64]) -> list[Run]:
    """Parts of a border along another chamber, the longest first."""
    found = []
    for run in _runs(distances <= NEAR):
        at = _places(run, len(distances))
        beside = at[distances[at] <= _close(distances)]
        found += [(int(beside[0]), int(beside[-1]))] if len(beside) else []
    return found


def _close(distances: NDArray[np.float64]) -> float:
    """Within what distance a border lies beside a structure, and not only near its end."""
    near = distances[distances <= NEAR]
    return float(np.median(near)) + 0.3 if len(near) else NEAR


def _runs(flags: NDArray[np.bool_]) -> list[Run]:
    """First and last of each run of a closed curve, the longest first; none where all or none are."""
    if flags.all() or not flags.any():
        return []
    start = int(np.flatnonzero(~flags)[0])
    turned = np.roll(flags, -start).astype(np.int8)
    edges = np.diff(np.concatenate([[0], turned, [0]]))
    firsts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    longest = np.argsort(firsts - stops, kind="stable")
    return [((int(firsts[n]) + start) % len(flags), (int(stops[n]) - 1 + start) % len(flags)) for n in longest]


def _corners(piece: Mask, pixels: Points, border: Points) -> Run:
    """The two corners of the wide end of a shape that is longer than wide.

    The long axis is that of the border's spread; the apex is the end from which the shape's middle lies farther away.
    A corner is where the border is farthest down and out, in half lengths and half widths.
    """
    step = np.abs(border - border[0]).max(axis=0) / np.maximum(np.abs(pixels - pixels[0]).max(axis=0), 1)
    inside = np.argwhere(piece)[:, ::-1] * step
    center = inside.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((inside - center).T))
    along, across = (border - center) @ axes[:, 1], (border - center) @ axes[:, 0]
    down = along / (along.max() if along.max() < -along.min() else along.min())  # the base is nearer to the middle
    out = across / (np.ptp(across) / 2)
    one, other = int((down + out).argmax()), int((down - out).argmax())
    at = np.arange(len(border))
    span = (other - one) % len(border)
    inner = (at - one) % len(border) <= span
    return (one, other) if down[inner].min() >= down[~inner].min() else (other, one)


def _between(curve: Points, first: int, last: int) -> Points:
    """The part of a closed curve from one place to another, both left out."""
    count = (last - first) % len(curve)
    return np.asarray(curve[(first + 1 + np.arange(max(0, count - 1))) % len(curve)])


def _diameters(piece: Mask, step: Vector, middle: Vector, apex: Vector) -> NDArray[np.float64]:
    """Area of each twentieth of the long axis over its height; what lies behind the annulus counts to the first."""
    axis = apex - middle
    length = float(np.linalg.norm(axis))
    rows, columns = np.nonzero(piece)
    parts = (np.arange(SUBPIXELS) + 0.5) / SUBPIXELS - 0.5
    dy, dx = np.meshgrid(parts, parts, indexing="ij")
    x, y = columns[:, None] + dx.ravel(), rows[:, None] + dy.ravel()
    along = ((x * step[0] - middle[0]) * axis[0] + (y * step[1] - middle[1]) * axis[1]) / length
    disc = np.clip((along / length * DISCS).astype(int), 0, DISCS - 1)
    areas = np.bincount(disc.ravel(), minlength=DISCS) * float(step.prod()) / SUBPIXELS**2
    return np.asarray(areas / (length / DISCS))
