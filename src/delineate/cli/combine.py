"""``delineate combine``: files of labels put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.clean import LABELS, print_labels
from delineate.cli.groups import request_of

Names = list[str] | None


def combine(
    inputs: Annotated[list[Path], typer.Argument(help=f"One file or several on one grid. {LABELS}")],
    how: Annotated[
        str,
        typer.Option(help="Of a structure that several files have: union, intersect, minus or majority."),
    ] = "union",
    make: Annotated[
        Names,
        typer.Option("--make", help='A new structure: "wall = outer - inner"; + joins, & is what both have.'),
    ] = None,
    rename: Annotated[Names, typer.Option("--rename", help='"old name = new name"; may be repeated.')] = None,
    relabel: Annotated[Names, typer.Option("--relabel", help='A label value: "liver = 5"; may be repeated.')] = None,
    keep: Annotated[Names, typer.Option("--keep", help="Keep only this structure; may be repeated.")] = None,
    remove: Annotated[Names, typer.Option("--remove", help="Leave out this structure; may be repeated.")] = None,
    no_overlap: Annotated[
        bool, typer.Option("--no-overlap", help="A voxel in several structures goes to the last of them.")
    ] = False,
    split: Annotated[bool, typer.Option("--split", help="Write one file for each structure.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File or folder to write.  [default: NAME_combined]")
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Combine files of labels: merge, unite, intersect or subtract structures, rename and renumber them.

    Structures of one name in several files become one, as --how says. Steps are done in the order of the list below.
    """
    from delineate.verbs.combine import CombineRequest
    from delineate.verbs.combine import combine as run

    request = request_of(
        CombineRequest,
        inputs=tuple(inputs),
        how=how,
        make=tuple(make or ()),
        rename=tuple(rename or ()),
        relabel=tuple(relabel or ()),
        keep=tuple(keep or ()),
        remove=tuple(remove or ()),
        no_overlap=no_overlap,
        split=split,
        output=output,
        overwrite=overwrite,
    )
    print_labels(run(request), json, quiet)
