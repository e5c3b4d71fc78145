"""The left ventricle on clips of one or two views: phases, volumes, ejection fraction, contours for strain.

Where the atrium is outlined at both phases in every view, its volumes, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delineate.core.errors import InputError, Notice
from delineate.core.grid import Placement
from delineate.core.scan import ScanKind
from delineate.core.segmentation import Segmentation
from delineate.echo.chamber import APART, Chamber, area_curve, atrium_of, ventricle_of
from delineate.echo.phases import EndFrames, end_frames, temporal_consistency
from delineate.echo.record import LEFT_ATRIUM, LEFT_VENTRICLE, MYOCARDIUM, structure_meant
from delineate.echo.volumes import area_length, ejection_fraction, lengths_differ, simpson

MOST_EJECTED: Final = 90  # percent
BIPLANE, SINGLE = "biplane Simpson", "single-plane Simpson"


@dataclass(frozen=True)
class ViewOptions:
    """How one view is taken.

    name      it is called so in tables
    mm        width and height of a pixel, where its file does not say it
    diastole, systole  frames; None: from the area curve
    """

    name: str
    mm: float | None = None
    diastole: int | None = None
    systole: int | None = None


@dataclass(frozen=True, eq=False)
class HeartFrame:
    """The ventricle on one frame. Lengths mm (areas mm2) where pixels have them, else pixels.

    strain  change of the contour's length since end-diastole, %: longitudinal strain of the outline
    """

    view: str
    frame: int
    phase: str
    area: float
    length: float
    strain: float
    chamber: Chamber

    def row(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "chamber"}


@dataclass(frozen=True, eq=False)
class HeartView:
    """One view: what is seen on each outlined frame, and the phases.

    mm           (right, down) of a pixel; None where it is not known
    consistency  of the area over the clip: 0 is smoothest (``echo.phases``); NaN where frames between are not outlined
    atria        the left atrium at end-diastole and end-systole, where it is outlined there
    """

    name: str
    frames: tuple[HeartFrame, ...]
    ends: EndFrames
    mm: tuple[float, float] | None
    consistency: float
    atria: Mapping[int, Chamber]

    def as_json(self) -> dict[str, Any]:
        steady = self.consistency if np.isfinite(self.consistency) else None
        frames = [one.row() for one in self.frames]
        return {"view": self.name, **asdict(self.ends), "temporal_consistency": steady, "frames": frames}

    def at(self, frame: int) -> Chamber:
        return next(one.chamber for one in self.frames if one.frame == frame)


@dataclass(frozen=True)
class AtriumMeasures:
    """The left atrium at the ventricle's end-systole, when it is largest, and at end-diastole.

    Volumes are ml, None where pixels have no millimeters; ``emptying`` is % of the largest, by discs.
    """

    largest: float | None
    smallest: float | None
    emptying: float
    largest_area_length: float | None
    smallest_area_length: float | None


@dataclass(frozen=True, eq=False)
class HeartMeasures:
    """Volumes are ml, None where pixels have no millimeters; ``ef`` is %.

    atrium  None where it is not outlined at both phases in every view
    """

    views: tuple[HeartView, ...]
    method: str
    edv: float | None
    esv: float | None
    ef: float
    edv_area_length: float | None
    esv_area_length: float | None
    atrium: AtriumMeasures | None
    notices: tuple[Notice, ...]

    def as_json(self) -> dict[str, Any]:
        names = ("method", "edv", "esv", "ef", "edv_area_length", "esv_area_length")
        atrium = None if self.atrium is None else asdict(self.atrium)
        own = {name: getattr(self, name) for name in names} | {"left_atrium": atrium}
        return own | {"views": [view.as_json() for view in self.views]}

    def contour_rows(self) -> list[dict[str, Any]]:
        """A row a point of every frame's contour: from annulus over apex to annulus, as many on each frame."""
        rows = []
        for view in self.views:
            for one in view.frames:
                for number, (x, y) in enumerate(one.chamber.contour):
                    mm: dict[str, float | None] = {"x_mm": None, "y_mm": None}
                    if view.mm is not None:
                        mm = {"x_mm": float(x * view.mm[0]), "y_mm": float(y * view.mm[1])}
                    about = {"view": view.name, "frame": one.frame, "phase": one.phase, "point": number}
                    rows.append(about | {"x": float(x), "y": float(y)} | mm)
        return rows


def shows_a_ventricle(segmentation: Segmentation) -> bool:
    """Whether one of the structures is the left ventricle, and it is seen over time."""
    return segmentation.kind is ScanKind.VIDEO and _named(segmentation, LEFT_VENTRICLE) is not None


def measure_heart(views: Sequence[tuple[Segmentation, ViewOptions]]) -> HeartMeasures:
    """Measure the left ventricle from one view, or from two by the biplane method.

    Raises
    ------
    InputError
        Without an outline of it at end-diastole or end-systole, where the phases cannot be found, and where one view
        has millimeters and the other has none.
    """
    measured = [_view(outlines, options) for outlines, options in views]
    known = [view.mm is not None for view in measured]
    if any(known) and not all(known):
        lacking = measured[known.index(False)].name
        raise InputError(
            "E-ECHO-SPACING",
            f"The pixels of {lacking} have no millimeters, those of the other view do: their lengths cannot be put "
            "together.",
            "Say how many millimeters a pixel is: --pixel-size 0.31",
        )
    ends = {"ed": [view.at(view.ends.diastole) for view in measured], "es": [v.at(v.ends.systole) for v in measured]}
    discs, areas = ({phase: way(*c) for phase, c in ends.items()} for way in (simpson, area_length))
    ml, ef = all(known), ejection_fraction(discs["ed"], discs["es"])
    return HeartMeasures(
        views=tuple(measured),
        method=BIPLANE if len(measured) > 1 else SINGLE,
        edv=discs["ed"] if ml else None,
        esv=discs["es"] if ml else None,
        ef=ef,
        edv_area_length=areas["ed"] if ml else None,
        esv_area_length=areas["es"] if ml else None,
        atrium=_atrium(measured, ml),
        notices=(*_known_sizes(views, measured), *_notices(measured, ml, ends["ed"], ef)),
    )


def _atrium(views: Sequence[HeartView], ml: bool) -> AtriumMeasures | None:
    try:
        large, small = (
            [v.atria[n] for v, n in zip(views, at, strict=True)] for at in zip(*map(_large, views), strict=True)
        )
    except KeyError:
        return None
    discs, areas = ([way(*chambers) for chambers in (large, small)] for way in (simpson, area_length))
    known = [*discs, *areas] if ml else [None] * 4
    return AtriumMeasures(known[0], known[1], ejection_fraction(*discs), known[2], known[3])


def _large(view: HeartView) -> tuple[int, int]:
    """Frames at which the atrium is largest and smallest."""
    return view.ends.systole, view.ends.diastole


def _view(outlines: Segmentation, options: ViewOptions) -> HeartView:
    name = _named(outlines, LEFT_VENTRICLE)
    if name is None:
        raise InputError(
            "E-ECHO-CLASSES",
            f"{options.name} has no left ventricle among its structures: {', '.join(outlines.names) or 'none'}.",
            'Name it so, or LV: delineate combine FILE --rename "label 1 = left ventricle" -o named.nii.gz',
        )
    mm = _spacing(outlines, options)
    seen = set(outlines[name].frames)
    ends = _ends(area_curve(outlines.mask(name, frame) for frame in range(len(outlines))), sorted(seen), options)
    chambers, atria = dict[int, Chamber](), dict[int, Chamber]()
    for frame in sorted(seen):
        parts = _parts(outlines, frame)
        try:
            chambers[frame] = ventricle_of(parts, mm or (1.0, 1.0))
        except InputError:
            if frame in _pair(ends):
                raise
        if frame in _pair(ends) and LEFT_ATRIUM in parts:
            with suppress(InputError):  # not outlined there
                atria[frame] = atrium_of(parts, mm or (1.0, 1.0))
    arc = chambers[ends.diastole].arc
    phases = {ends.diastole: "ED", ends.systole: "ES"}
    frames = tuple(
        HeartFrame(options.name, n, phases.get(n, ""), c.area, c.length, 100 * (c.arc / arc - 1), c)
        for n, c in chambers.items()
    )
    outlined = [
        int(outlines.mask(name, n).sum()) if n in seen else float("nan") for n in range(min(seen), max(seen) + 1)
    ]
    return HeartView(options.name, frames, ends, mm, temporal_consistency(outlined), atria)


def _parts(outlines: Segmentation, frame: int) -> dict[str, NDArray[np.bool_]]:
    """What is outlined of the heart on a frame, by the names of ``echo.record``."""
    names = {part: _named(outlines, part) for part in (LEFT_VENTRICLE, MYOCARDIUM, LEFT_ATRIUM)}
    return {part: outlines.mask(name, frame) for part, name in names.items() if name is not None}


def _ends(areas: Sequence[int], seen: Sequence[int], options: ViewOptions) -> EndFrames:
    """The phases that were said, or else those of the area curve. Raises InputError for frames without an outline."""
    if options.diastole is None or options.systole is None:
        found = end_frames(areas)
        said = options.diastole, options.systole
        ends = EndFrames(*(own if own is not None else other for own, other in zip(said, _pair(found), strict=True)))
    else:
        ends = EndFrames(options.diastole, options.systole)
    for frame, phase in zip(_pair(ends), ("end-diastole", "end-systole"), strict=True):
        if frame not in seen:
            there = ", ".join(map(str, seen))
            raise InputError(
                "E-ECHO-EMPTY",
                f"The left ventricle is not outlined on frame {frame} of {options.name}, which is {phase}; it is on: "
                f"{there[:120] or 'none'}.",
                "Outline it there, or say other frames: --ed FRAME --es FRAME",
            )
    return ends


def _pair(ends: EndFrames) -> tuple[int, int]:
    return ends.diastole, ends.systole


def _spacing(outlines: Segmentation, options: ViewOptions) -> tuple[float, float] | None:
    if outlines.grid.placement is Placement.PIXELS:
        return None if options.mm is None else (options.mm, options.mm)
    across, down = (axis for axis in range(outlines.grid.ndim) if axis != outlines.slice_axis)
    return outlines.grid.spacing[across], outlines.grid.spacing[down]


def _named(outlines: Segmentation, part: str) -> str | None:
    return next((name for name in outlines.names if structure_meant(name) == part), None)


def _known_sizes(asked: Sequence[tuple[Segmentation, ViewOptions]], views: Sequence[HeartView]) -> Iterator[Notice]:
    """Of sizes that were said beside those of files."""
    for (_, options), view in zip(asked, views, strict=True):
        if options.mm is not None and view.mm is not None and not np.allclose(view.mm, options.mm, rtol=1e-3):
            own = " x ".join(f"{side:.3g}" for side in view.mm)
            yield Notice("W-ECHO-SPACING", f"{view.name} says that a pixel is {own} mm: --pixel-size is not used.")


def _parts_apart(views: Sequence[HeartView]) -> Iterator[Notice]:
    """Of ventricles at their phases that are outlined in several parts."""
    for view in views:
        for frame in _pair(view.ends):
            if (apart := view.at(frame).apart) > APART:
                yield Notice(
                    "W-ECHO-PARTS",
                    f"On frame {frame} of {view.name} {100 * apart:.0f} % of the left ventricle lies apart from its "
                    "largest part, which alone is measured: correct that frame.",
                )


def _notices(views: Sequence[HeartView], calibrated: bool, diastole: Sequence[Chamber], ef: float) -> list[Notice]:
    found = [*_parts_apart(views)]
    if ef < 0:
        found.append(Notice("W-ECHO-PHASES", "The ventricle is larger at end-systole than at end-diastole: is it so?"))
    if ef > MOST_EJECTED:
        found.append(Notice("W-ECHO-PHASES", f"No heart ejects {ef:.0f} %: look at the outline of end-systole."))
    if len(views) == 1:
        found.append(
            Notice("W-ECHO-ONE-VIEW", "Volumes are from one view, as if the ventricle were round: --second-view FILE")
        )
    elif lengths_differ(*diastole):
        lengths = " and ".join(f"{one.length:.0f}" for one in diastole)
        found.append(
            Notice("W-ECHO-LENGTHS", f"The long axes are {lengths} long: one of the views may be foreshortened.")
        )
    if not calibrated:
        same = ", taken as equal in both views" if len(views) > 1 else ""
        found.append(
            Notice("W-ECHO-PIXELS", f"Pixels have no millimeters{same}: no volumes, only the ejection fraction.")
        )
    return found
