"""``delineate replay``: an earlier run done again from its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, tell
from delineate.cli.groups import grouped
from delineate.cli.segment_report import print_result


@grouped
def replay(
    manifest: Annotated[Path, typer.Argument(help="The .manifest.json beside an output.")],
    talking: options.Talking,
    input: Annotated[Path | None, typer.Option(help="The scan, if it is neither beside the manifest nor here.")] = None,
    model: Annotated[Path | None, typer.Option("--model", "-m", help="The model file, likewise.")] = None,
    adapter: options.Adapter = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File or folder to write.")] = None,
    overwrite: options.Overwrite = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although the scan, the model or the version is another.")
    ] = False,
) -> None:
    """Do an earlier run again, with its model, options and prompts; exit code 1 if the outlines differ in a bit.

    delineate replay liver.manifest.json
    """
    from delineate.core.manifest import Manifest
    from delineate.verbs.replay import differing_libraries
    from delineate.verbs.replay import replay as run
    from delineate.verbs.request import OutputChoice

    with progress_bar("Following", talking.quiet or talking.json) as progress:
        choice = OutputChoice(path=output, overwrite=overwrite)
        done, same = run(manifest, choice, input, model, adapter, force, progress)
    print_result(done, talking)
    if same:
        tell("The outlines are those of the first run, to the last bit.")
    elif same is None:
        tell("Written in another format than the first run: not compared with it.")
    else:
        before = Manifest.read(manifest)
        other = differing_libraries(before) if before is not None else []
        tell(f"The outlines differ from those of the first run. Libraries: {', '.join(other) or 'the same versions'}.")
        raise typer.Exit(1)
