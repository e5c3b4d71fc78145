"""``delineate measure``: numbers on outlines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.cli import options
from delineate.cli.clean import LABELS
from delineate.cli.console import result_json, result_lines, table_lines, tell_notices
from delineate.cli.groups import request_of

if TYPE_CHECKING:
    from delineate.labels.measure import StructureMeasures


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
        overwrite=overwrite,
    )
    done = run(request)
    if json:
        result_json(done.as_json())
        return
    tell_notices(done.notices, quiet)
    result_lines(table_lines([_shown(one) for one in done.measures.structures]), done.files)


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
    return "" if value is None else f"{value:.{digits}f}"
