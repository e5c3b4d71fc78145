"""``delineate measure``: numbers on outlines."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.cli import options
from delineate.cli.clean import LABELS
from delineate.cli.console import result_json, result_lines, table_lines, tell_notices
from delineate.cli.groups import request_of
from delineate.core.errors import InputError
from delineate.core.terminal_text import figure

if TYPE_CHECKING:
    from delineate.labels.heart import HeartMeasures
    from delineate.outlines.measure import StructureMeasures


def measure(
    input: Annotated[Path, typer.Argument(help=LABELS)],
    scan: Annotated[Path | None, typer.Option(help="The scan that was outlined, for intensities.")] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="A structure to measure; may be repeated.  [default: all]")
    ] = None,
    space: Annotated[str, typer.Option(help="Of the centroids in mm: RAS or LPS.")] = "RAS",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the table here: .csv, .json or .md.")
    ] = None,
    slices: Annotated[Path | None, typer.Option(help="Write a row for every slice here: .csv, .json or .md.")] = None,
    echo: Annotated[bool, typer.Option("--echo", help="Frames of an echo clip: EF, volumes of the ventricle.")] = False,
    second_view: Annotated[Path | None, typer.Option(help="Labels of the other apical view: biplane volumes.")] = None,
    pixel_size: Annotated[
        str, typer.Option(help="mm of a pixel, where a clip does not say it; of two views 0.31,0.28.")
    ] = "",
    ed: Annotated[str, typer.Option(help="Frame of end-diastole; of two views 3,5.  [default: found]")] = "",
    es: Annotated[str, typer.Option(help="Frame of end-systole; of two views 3,5.  [default: found]")] = "",
    contours: Annotated[Path | None, typer.Option(help="Write the contours for strain here: .csv, .json, .md.")] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure outlines: ml, surface, long and short axis (RECIST), place in mm, intensities; also of every slice.

    Lengths are true on anisotropic, oblique and sheared grids. What needs millimeters is left out where none are known.
    """
    from delineate.verbs.measure import MeasureRequest
    from delineate.verbs.measure import measure as run

    request = request_of(
        MeasureRequest,
        input=input,
        scan=scan,
        label=tuple(label or ()),
        space=space,
        output=output,
        slices=slices,
        echo=echo,
        second_view=second_view,
        pixel_size=_sizes(pixel_size),
        ed=_frames("--ed", ed),
        es=_frames("--es", es),
        contours=contours,
        overwrite=overwrite,
    )
    done = run(request)
    if json:
        result_json(done.as_json())
        return
    tell_notices(done.notices, quiet)
    heart = [] if done.heart is None else [heart_line(done.heart), *atrium_lines(done.heart)]
    result_lines([*table_lines([_shown(one) for one in done.measures.structures]), *heart], done.files)


def heart_line(heart: HeartMeasures) -> str:
    """Volumes, ejection fraction and strain in a line."""
    ends = [f"frames {view.ends.diastole} and {view.ends.systole}" for view in heart.views]
    volumes = "" if heart.edv is None or heart.esv is None else f"EDV {heart.edv:.1f} ml, ESV {heart.esv:.1f} ml, "
    strains = [f"{one.strain:.1f}" for view in heart.views for one in view.frames if one.phase == "ES"]
    how = f"({heart.method}, {'; '.join(ends)})"
    return f"left ventricle: {volumes}EF {heart.ef:.1f} % {how}, strain of the outline {', '.join(strains)} %"


def _frames(option: str, text: str) -> tuple[int, ...]:
    """Frames as people write them: 3, or 3,5. Raises InputError for other words."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise InputError("E-OPTION", f'{option} "{text}" names no frame.', "Write one, or one of each view: 3,5")
    return tuple(int(part) for part in parts)


def _sizes(text: str) -> tuple[float, ...]:
    """Millimeters as people write them: 0.31, or 0.31,0.28. Raises InputError for other words."""
    try:
        sizes = tuple(float(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        sizes = (0.0,)
    if len(sizes) > 2 or not all(0 < size < inf for size in sizes):
        raise InputError(
            "E-OPTION", f'--pixel-size "{text}" is no length.', "Write mm, or those of each view: 0.31,0.28"
        )
    return sizes


def _shown(one: StructureMeasures) -> dict[str, str]:
    """What is printed of a structure, by heading; "" for what is not known."""
    inside = one.intensity
    mean = (
        f"{inside.mean:.1f} ± {inside.sd:.1f}" if inside and inside.mean is not None and inside.sd is not None else ""
    )
    known = one.volume_ml is not None or one.area_cm2 is not None
    return {
        "structure": one.structure,
        "ml": _number(one.volume_ml, 2),
        "cm2": _number(one.area_cm2, 2),
        "pixels": "" if known else str(one.voxels),
        "surface cm2": _number(one.surface_cm2, 1),
        "outline mm": _number(one.perimeter_mm, 1),
        "long mm": _number(one.long_axis_mm, 1),
        "short mm": _number(one.short_axis_mm, 1),
        "long px": _number(one.long_axis_px, 1),
        "short px": _number(one.short_axis_px, 1),
        "on slice": "" if one.axis_slice is None or one.slices < 2 else str(one.axis_slice),
        "center mm": ", ".join(f"{n:.1f}" for n in one.centroid_mm or ()),
        "intensity": mean,
    }


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else figure(value, digits)


def atrium_lines(heart: HeartMeasures) -> list[str]:
    """The left atrium, where it was measured."""
    one = heart.atrium
    if one is None:
        return []
    known = one.largest is not None and one.smallest is not None and one.largest_area_length is not None
    volumes = f"{one.largest:.1f} ml at end-systole (area-length {one.largest_area_length:.1f}), " if known else ""
    small = f"{one.smallest:.1f} ml at end-diastole, " if known else ""
    return [f"left atrium: {volumes}{small}emptying {one.emptying:.1f} %"]
