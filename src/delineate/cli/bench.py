"""``delineate bench``: speed on this machine; published evaluations run again; what the corruptions look like."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell
from delineate.cli.evaluate import Selection, exit_if_failed, print_tables
from delineate.cli.groups import grouped, request_of
from delineate.core.terminal_text import counted

if TYPE_CHECKING:
    from delineate.bench import Measure
    from delineate.evaluation.reproduce import Reproduction
    from delineate.verbs.bench import BenchRequest


def bench(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats, a shorter clip, smaller scans.")] = False,
    systems: Annotated[bool, typer.Option("--systems", help="The published systems instead of Quill.")] = False,
    scale: Annotated[bool, typer.Option("--scale", help="Large scans: time and peak memory.")] = False,
    server: Annotated[bool, typer.Option("--server", help="Clicks and previews on the wire, many people.")] = False,
    budget: Annotated[
        float | None, typer.Option(help="With --systems or --scale: seconds after which no new row is begun.")
    ] = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure milliseconds a click, frames a second, memory and start-up time; prints a Markdown table."""
    if context.invoked_subcommand is not None:
        return
    from delineate.verbs.bench import BenchRequest, Suite

    suites = {Suite.SYSTEMS: systems, Suite.SCALE: scale, Suite.SERVER: server}
    suite = next((one for one, wanted in suites.items() if wanted), Suite.QUILL)
    _print_table(request_of(BenchRequest, suite=suite, quick=quick, budget=budget, device=device), json, quiet)


def _print_table(request: BenchRequest, json: bool, quiet: bool) -> None:
    """A row of the table when it is measured; JSON at the end, or of what there is when it is interrupted."""
    from delineate.bench import TABLE_HEAD, as_row
    from delineate.verbs.bench import BenchResult
    from delineate.verbs.bench import bench as run

    measures: list[Measure] = []

    def show(one: Measure) -> None:
        if not json:
            result(as_row(one) if measures else f"{TABLE_HEAD}\n{as_row(one)}")
            sys.stdout.flush()
        measures.append(one)

    try:
        run(request, show, None if quiet or json else lambda name: tell(f"Measuring {name} …"))
    except KeyboardInterrupt:
        if not measures:
            raise
        tell(f"Interrupted after {counted(len(measures), 'row')}.")
        raise typer.Exit(130) from None
    finally:
        if json and measures:
            result_json(BenchResult(tuple(measures)).as_json())


@grouped
def reproduce(
    selection: Selection,
    talking: options.PrintOptions,
    name: Annotated[
        str, typer.Argument(help="A published evaluation or a protocol; all are listed without a name.")
    ] = "",
    protocol: Annotated[str, typer.Option(help="One of its variants instead of its own.")] = "",
) -> None:
    """Say what a published evaluation needs and reports, and run it where its weights and data are here."""
    from delineate.verbs.evaluate import ReproduceRequest
    from delineate.verbs.evaluate import reproduce as run

    request = request_of(ReproduceRequest, name=name, protocol=protocol, **selection.fields)

    def begun(one: Reproduction, data: Path | None) -> None:
        if not talking.json:
            result("\n".join(one.lines(data)))

    with progress_bar(name, talking.quiet or talking.json) as progress:
        done = run(request, progress, begun)
    if not name:
        for one in done.evaluations:
            result(f"{one.name:20} {one.protocol:22} {', '.join(one.systems)}")
        return
    if talking.json:
        result_json(done.as_json())
    if done.measured is None:
        return
    if not talking.json:
        result("")
        print_tables(done.measured)
        if selection.untrained:
            tell("Random weights: this shows that the path runs, and nothing else.")
        tell(f"Tables, curves and pictures: {done.measured.page}")
    exit_if_failed(done.measured)


def corruptions(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet (.png).")],
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    overwrite: options.Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Draw a picture under every corruption of the robustness protocols, severities 1 to 5."""
    from delineate.verbs.bench import CorruptionsRequest
    from delineate.verbs.bench import corruptions as run

    done = run(request_of(CorruptionsRequest, image=image, output=output, seed=seed, overwrite=overwrite))
    tell(f"Drawn: {done.file}")


def compare(
    data: Annotated[Path | None, typer.Option(help="Folder of labeled scans; default $DELINEATE_DATA.")] = None,
    follow_links: options.FollowLinks = False,
    models: Annotated[str, typer.Option(help="Comma-separated, the one others are compared with first.")] = (
        "quill,lite_medsam"
    ),
    limit: Annotated[int, typer.Option(help="Cases of each data set; slower parts take a third or two thirds.")] = 3,
    most_frames: Annotated[int, typer.Option(help="Longer volumes and videos are not followed.")] = 64,
    without: Annotated[str, typer.Option(help="Data sets to leave out, comma-separated.")] = "",
    seed: Annotated[int, typer.Option(help="Of the simulated prompts.")] = 0,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the tables; earlier results are reused.")
    ] = Path("comparison"),
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure models side by side: boxes exact to sloppy, volumes, video, corruptions, and their confidence."""
    from delineate.verbs.compare import CompareRequest
    from delineate.verbs.compare import compare as run

    lists = {"models": [one for one in models.split(",") if one], "without": [one for one in without.split(",") if one]}
    request = request_of(
        CompareRequest,
        data=data, follow_links=follow_links, limit=limit, most_frames=most_frames, seed=seed, output=output, **lists,
    )  # fmt: skip
    with progress_bar("Comparing", quiet or json) as progress:
        done = run(request, progress)
    if json:
        result_json(done.as_json())
        return
    for name, text in done.as_json()["tables"].items():
        result(f"{name.removeprefix('compare-')}\n\n{text}\n")
    tell(f"Tables: {done.page}\nFor programs: {done.numbers}")
