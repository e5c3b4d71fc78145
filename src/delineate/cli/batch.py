"""``delineate batch``: the same asked of many scans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell, tell_notices
from delineate.cli.groups import grouped, request_of
from delineate.cli.guard import EMPTY, FAILED
from delineate.cli.ordered import typed
from delineate.cli.pointing import Pointing, asked
from delineate.core.errors import PromptError
from delineate.core.terminal_text import counted, volume_text

if TYPE_CHECKING:
    from delineate.verbs.batch_rows import BatchRow


@grouped
def batch(
    context: typer.Context,
    pointing: Pointing,
    following: options.PropagationGroup,
    machine: options.Machine,
    reading: options.Reading,
    talking: options.PrintOptions,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for outlines, records and summary.csv.")],
    inputs: Annotated[
        list[Path] | None, typer.Argument(help='Scans, folders of them, or patterns such as "ct/*.nii.gz".')
    ] = None,
    listing: Annotated[
        Path | None,
        typer.Option("--list", help="A path a line; or a .csv of file, label, frame, box, point, ...: a prompt a row."),
    ] = None,
    ending: Annotated[
        str | None, typer.Option("--format", help="Ending of the outlines, such as .seg.nrrd.  [default: by the scan]")
    ] = None,
    frames: Annotated[bool, typer.Option("--frames", help="A folder of pictures is one video.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a folder that was begun.")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Outline the same structures on many scans in one go, or on each what a list says.

    Each scan gets outlines, a picture and a record, as delineate segment writes them; summary.csv says what became of
    all. A scan that fails keeps none of the others, and the exit code is 1.
    """
    from delineate.verbs.batch import SUMMARY, BatchRequest
    from delineate.verbs.batch import batch as run
    from delineate.verbs.outcome import Outcome

    for option, given in (("--from", pointing.start), ("--undo", pointing.undo), ("--force", pointing.force)):
        if given:
            raise PromptError("E-OPTION-UNUSED", f"{option} is about one scan.", "Use it with delineate segment.")
    silent = talking.quiet or talking.json
    request = request_of(
        BatchRequest,
        inputs=tuple(inputs or ()),
        listing=listing,
        asked=asked(typed(context), pointing, following),
        reading=reading.options,
        model=machine.choice,
        output=output,
        ending=ending,
        frames=frames,
        overwrite=overwrite,
        resume=resume,
    )
    with progress_bar("Outlining", silent) as progress:
        done = run(request, progress, None if silent else _print)
    if talking.json:
        result_json(done.as_json())
    elif not talking.quiet:
        tell_notices(done.notices, talking.quiet)
        result(f"  {output / SUMMARY}")
    if done.failed:
        tell(f"{counted(len(done.failed), 'scan')} failed: see {output / SUMMARY}.")
        raise typer.Exit(FAILED)
    if done.outcome is Outcome.EMPTY:
        raise typer.Exit(EMPTY)


def _print(rows: tuple[BatchRow, ...]) -> None:
    """A line a scan."""
    if rows[0].error:
        result(f"{rows[0].file}: {rows[0].outcome}: {rows[0].error}")
        return
    shown = []
    for row in rows:
        size = counted(row.pixels, "pixel") if row.ml is None else volume_text(1000 * row.ml)
        sure = "" if row.mean is None else f", confidence {row.mean:.2f}"
        look = f", look at {row.look_at}" if row.look_at and row.frames > 1 else ""
        shown.append(f"{row.structure} {size}{sure}{look}" if row.pixels else f"{row.structure} not found")
    result(f"{rows[0].file}: {'; '.join(shown) or 'nothing found'}")
