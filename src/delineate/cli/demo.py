"""``delineate demo``: see it work, offline, in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for scans, outlines and pictures.")] = Path(
        "demo"
    ),
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Segment a volume, a video and a DICOM slice that are made up or bundled; ends with pictures to look at."""
    from delineate.verbs.demo import DemoRequest
    from delineate.verbs.demo import demo as run

    with progress_bar("Segmenting three scans", quiet or json) as progress:
        done = run(DemoRequest(output=output), progress)
    if json:
        result_json(done.as_json())
        return
    for one in done.scans:
        truth = f", Dice {one.dice:.3f} against the known truth" if one.dice is not None else ""
        result(f"{one.title}\n  {one.seconds:.1f} s{truth}\n  look at   {one.picture}\n  again     {one.command}\n")
    result("With your own file:\n  delineate inspect FILE\n  delineate segment FILE --box x0,y0,x1,y1 [--frame N]")
