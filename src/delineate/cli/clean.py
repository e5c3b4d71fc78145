"""``delineate clean``: outlines tidied up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.cli import options
from delineate.cli.console import result_json, result_lines, tell_notices
from delineate.cli.groups import request_of

if TYPE_CHECKING:
    from delineate.verbs.label_files import LabelResult

LABELS = "A label map, .seg.nrrd, folder of label pictures, .npz or COCO .json."


def clean(
    input: Annotated[Path, typer.Argument(help=LABELS)],
    label: Annotated[
        list[str] | None, typer.Option("--label", help="A structure to clean; may be repeated.  [default: all]")
    ] = None,
    largest: Annotated[bool, typer.Option("--largest", help="Keep the largest connected part alone.")] = False,
    islands: Annotated[
        float | None,
        typer.Option(help="Remove parts smaller than so many ml (cm2 of an image, pixels without a scale)."),
    ] = None,
    holes: Annotated[bool, typer.Option("--holes", help="Fill what is enclosed on all sides.")] = False,
    holes_in_slices: Annotated[
        bool, typer.Option("--holes-in-slices", help="Fill what is enclosed within a slice.")
    ] = False,
    smooth: Annotated[
        float | None, typer.Option(help="Smooth the border by a Gaussian of so many mm; the volume stays.")
    ] = None,
    shrink: Annotated[float | None, typer.Option(help="Make it smaller by so many mm.")] = None,
    grow: Annotated[
        float | None, typer.Option(help="Make it larger by so many mm, after --shrink; never into other structures.")
    ] = None,
    inside: Annotated[str | None, typer.Option(help="Keep only what lies in this structure of the same file.")] = None,
    inside_file: Annotated[
        Path | None, typer.Option("--inside-file", help="Keep only what lies in the structures of this file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File or folder to write.  [default: NAME_clean]")
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Clean outlines: largest part, islands, holes, smooth borders, grow or shrink by mm, keep inside another.

    Steps are done in the order of the list below. The grid, the names and the colors stay; a voxel of another structure
    is never taken.
    """
    from delineate.verbs.clean import CleanRequest
    from delineate.verbs.clean import clean as run

    request = request_of(
        CleanRequest,
        input=input,
        label=tuple(label or ()),
        largest=largest,
        islands=islands,
        holes=holes,
        holes_in_slices=holes_in_slices,
        smooth=smooth,
        shrink=shrink,
        grow=grow,
        inside=inside,
        inside_file=inside_file,
        output=output,
        overwrite=overwrite,
    )
    print_labels(run(request), json, quiet)


def print_labels(done: LabelResult, json: bool, quiet: bool) -> None:
    """A line a structure, then the files."""
    if json:
        result_json(done.as_json())
        return
    tell_notices(done.notices, quiet)
    result_lines(map(str, done.sizes), done.files)
