"""``delineate fill-between``: shapes on the slices between drawn ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.clean import LABELS, print_labels
from delineate.cli.groups import request_of


def fill_between(
    input: Annotated[Path, typer.Argument(help=LABELS)],
    label: Annotated[
        list[str] | None, typer.Option("--label", help="A structure to fill in; may be repeated.  [default: all]")
    ] = None,
    axis: options.Axis = None,
    largest_gap: Annotated[
        int | None, typer.Option("--largest-gap", help="Leave gaps of more empty slices than this.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File or folder to write.  [default: NAME_filled]")
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Fill in a structure between the slices it was drawn on; what was drawn stays bit for bit.

    The shapes change evenly from one drawn slice to the next, whatever the picture shows; delineate segment SCAN
    --markers FILE follows the picture instead.
    """
    from delineate.verbs.fill_between import FillBetweenRequest
    from delineate.verbs.fill_between import fill_between as run

    request = request_of(
        FillBetweenRequest,
        input=input,
        label=tuple(label or ()),
        axis=axis,
        largest_gap=largest_gap,
        output=output,
        overwrite=overwrite,
    )
    print_labels(run(request), json, quiet)
