"""``delineate convert``: labels or a scan in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import result_json, result_lines, tell_notices
from delineate.cli.groups import grouped, request_of


@grouped
def convert(
    input: Annotated[Path, typer.Argument(help="Labels or a scan, in any format that is read.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File or folder to write; its name says the format.")],
    reading: options.Reading,
    kind: Annotated[str, typer.Option(help="What the file holds: labels, image, or auto: as it looks.")] = "auto",
    like: Annotated[Path | None, typer.Option(help="Put labels on the grid of this scan, by where they lie.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Make labels of probabilities: this high or higher is inside.")
    ] = None,
    split: Annotated[bool, typer.Option("--split", help="Of labels: one file for each structure.")] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Convert labels or a scan to another format; grid, names and colors stay.

    Labels: .nii.gz, .nii, .seg.nrrd, .nrrd, .mha, .tif, .npz, COCO .json, .png of a picture, or a folder of PNGs (no
    ending). Scans: the same but .seg.nrrd and .json.
    """
    from delineate.verbs.convert import ConvertRequest
    from delineate.verbs.convert import convert as run

    request = request_of(
        ConvertRequest,
        input=input,
        reading=reading.options,
        kind=kind,
        like=like,
        threshold=threshold,
        split=split,
        output=output,
        overwrite=overwrite,
    )
    done = run(request)
    if json:
        result_json(done.as_json())
        return
    tell_notices(done.notices, quiet)
    result_lines([f"taken for {'labels' if done.kind == 'labels' else 'a scan'}", *map(str, done.sizes)], done.files)
