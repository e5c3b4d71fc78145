"""``delineate oneshot``: a structure shown once, outlined on everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell, tell_notices
from delineate.cli.groups import grouped
from delineate.cli.guard import EMPTY, FAILED
from delineate.core.terminal_text import counted


@grouped
def oneshot(
    targets: Annotated[list[Path], typer.Argument(help="Pictures, volumes, videos, and folders of them.")],
    machine: options.Machine,
    reading: options.Reading,
    support: Annotated[
        list[Path], typer.Option(metavar="IMAGE MASK", help="A labeled scan; may be given several times.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for outlines, scores and contact sheet.")],
    structure: Annotated[
        list[str] | None, typer.Option(help="Name or label value of a structure; default: all on the supports.")
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="The model that scans are compared by.  [default: the one that refines]")
    ] = None,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine/--coarse",
            help="The model outlines what was found, or coarse masks stay; through volumes it follows either.",
        ),
    ] = True,
    places: Annotated[int, typer.Option(help="Places of a structure that are looked at.")] = 3,
    threshold: Annotated[
        float | None, typer.Option(help="Similarity from which on it is found.  [default: by the supports]")
    ] = None,
    any_modality: Annotated[bool, typer.Option(help="Also targets of another modality.")] = False,
    frames: Annotated[bool, typer.Option(help="A folder of pictures is one video.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a folder that was begun.")] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Outline on many scans what one labeled scan shows, without a click.

    Each target gets a similarity; what is too unlike the supports is not found rather than outlined wrongly.
    contact_sheet.png shows the doubtful first, scores.csv lists all.

    delineate oneshot --support case1.png case1_mask.png folder/ -o outlined
    """
    from delineate.oneshot.targets import SHEET
    from delineate.verbs.oneshot import SCORES, OneshotRequest
    from delineate.verbs.oneshot import oneshot as run
    from delineate.verbs.outcome import Outcome

    request = OneshotRequest(
        supports=tuple(zip(support[::2], support[1::2], strict=True)),
        targets=tuple(targets),
        output=output,
        structures=tuple(structure or ()),
        model=machine.choice,
        features=None if features is None else machine.choice.model_copy(update={"name": features, "adapter": None}),
        reading=reading.options,
        refine=refine,
        places=places,
        threshold=threshold,
        any_modality=any_modality,
        frames=frames,
        overwrite=overwrite,
        resume=resume,
    )
    with progress_bar("Outlining", json) as progress:
        done = run(request, progress)
    if json:
        result_json(done.as_json())
    else:
        found = [row for row in done.rows if row.found]
        looked = len({row.target for row in done.rows})
        result(f"{len(found)} of {counted(len(done.rows) - len(done.failed), 'structure')} found on {looked} targets")
        for path in (output / SCORES, output / SHEET):
            result(f"  {path}")
        tell_notices(done.notices, quiet=False)
    for row in done.failed:
        tell(f"{row.target} was left out: {row.error}")
    if done.failed:
        raise typer.Exit(FAILED)
    if done.outcome is Outcome.EMPTY:
        raise typer.Exit(EMPTY)
