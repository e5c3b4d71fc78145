"""``delineate compare``: two files of labels held against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.cli import options
from delineate.cli.clean import LABELS
from delineate.cli.console import result_json, result_lines, table_lines, tell_notices
from delineate.cli.groups import request_of
from delineate.core.terminal_text import figure

if TYPE_CHECKING:
    from delineate.labels.compare import Comparison


def compare(
    first: Annotated[Path, typer.Argument(help=f"The truth, or the first reader. {LABELS}")],
    second: Annotated[Path, typer.Argument(help="What is held against it, on the same grid.")],
    label: Annotated[
        list[str] | None, typer.Option("--label", help="A structure to compare; may be repeated.  [default: all]")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Of the normalized surface Dice, mm.")] = 2.0,
    scan: Annotated[Path | None, typer.Option(help="The scan they lie on, for the picture.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw here (.png) where they differ.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the table here: .csv, .json or .md.")
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Compare two files of labels: Dice, IoU, NSD, HD95, mean distance and volumes; draw where they differ.

    Structures are matched by name, or by label value where a file has no names.
    """
    from delineate.verbs.compare_labels import CompareLabelsRequest
    from delineate.verbs.compare_labels import compare as run

    request = request_of(
        CompareLabelsRequest,
        first=first,
        second=second,
        label=tuple(label or ()),
        tolerance=tolerance,
        scan=scan,
        picture=picture,
        output=output,
        overwrite=overwrite,
    )
    done = run(request)
    if json:
        result_json(done.as_json())
        return
    tell_notices(done.notices, quiet)
    result_lines(table_lines([_shown(one, tolerance) for one in done.comparisons]), done.files)


def _shown(one: Comparison, tolerance: float) -> dict[str, str]:
    length = "mm" if one.unit in ("ml", "cm2") else "px"
    digits = 2 if length == "mm" else 0
    change = "" if one.percent is None else f" ({one.percent:+.1f} %)"
    return {
        "structure": one.structure,
        "Dice": f"{one.dice:.3f}",
        "IoU": f"{one.iou:.3f}",
        f"NSD at {tolerance:g} {length}": f"{one.nsd:.3f}",
        f"HD95 {length}": figure(one.hd95, 2),
        f"mean {length}": figure(one.assd, 2),
        f"first {one.unit}": figure(one.first, digits),
        f"second {one.unit}": figure(one.second, digits),
        "difference": figure(one.difference, digits, "+") + change,
    }
