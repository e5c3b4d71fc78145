"""``delineate bench``: speed on this machine; published evaluations run again; what the corruptions look like."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell

if TYPE_CHECKING:
    from delineate.bench import Measure


def bench(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats, a shorter clip, smaller scans.")] = False,
    systems: Annotated[bool, typer.Option("--systems", help="The published systems instead of Quill.")] = False,
    scale: Annotated[bool, typer.Option("--scale", help="Large scans: time and peak memory.")] = False,
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
    from delineate.bench import bench as run

    say = None if quiet or json else lambda name: tell(f"Measuring {name} …")
    if systems:
        from delineate.systems.building import needs_torch

        needs_torch("bench --systems")
        from delineate.bench_systems import bench_systems

        _print_table(bench_systems(quick, device, budget, say), json)
    elif scale:
        from delineate.bench_scale import bench_scale

        _print_table(bench_scale(quick, budget, say), json)
    else:
        _print_table(run(10, 200) if quick else run(), json)


def _print_table(lines: Iterator[Measure], json: bool) -> None:
    """A row of the table when it is measured; JSON at the end, or of what there is when it is interrupted."""
    from delineate.bench import TABLE_HEAD, as_json, as_row

    measured: list[Measure] = []
    try:
        for line in lines:
            if not json:
                result(as_row(line) if measured else f"{TABLE_HEAD}\n{as_row(line)}")
                sys.stdout.flush()
            measured.append(line)
    except KeyboardInterrupt:
        if not measured:
            raise
        tell(f"Interrupted after {len(measured)} rows.")
        raise typer.Exit(130) from None
    finally:
        if json and measured:
            result(as_json(measured))


def reproduce(
    name: Annotated[
        str, typer.Argument(help="A published evaluation or a protocol; all are listed without a name.")
    ] = "",
    data: Annotated[Path | None, typer.Option(help="Folder of labelled scans; default $DELINEATE_DATA.")] = None,
    follow_links: options.FollowLinks = False,
    protocol: Annotated[str, typer.Option(help="One of its variants instead of its own.")] = "",
    predictors: Annotated[str, typer.Option(help="Comma-separated systems or files instead of its own.")] = "",
    datasets: Annotated[str, typer.Option(help="Comma-separated; all by default.")] = "",
    limit: Annotated[int | None, typer.Option(help="At most so many cases of each data set.")] = None,
    structures: Annotated[int, typer.Option(help="At most so many structures of a case.")] = 12,
    untrained: options.Untrained = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the tables; earlier results are reused.")
    ] = Path("evaluation"),
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Say what a published evaluation needs and reports, and run it where its weights and data are here."""
    from delineate.evaluation.markdown import dataset_table, failure_line, summary_table
    from delineate.evaluation.report import as_json
    from delineate.evaluation.reproduce import REPRODUCTIONS, reproduction_named
    from delineate.evaluation.runner import EvaluateOptions, evaluate, named_data

    if not name:
        for one in REPRODUCTIONS.values():
            result(f"{one.name:20} {one.protocol:22} {', '.join(one.systems)}")
        return
    found = reproduction_named(name)
    protocol = protocol or (name if name == found.protocol or name in found.variants else found.protocol)
    folder = named_data(data)
    given = tuple(p for p in predictors.split(",") if p)
    if not json:
        result("\n".join(found.lines(folder)))
    runs = given or tuple(s for s in found.systems if untrained or s not in found.needed())
    if folder is None or not runs:
        if json:
            result_json(found.as_json(folder))
        return
    chosen = EvaluateOptions(
        data=folder,
        follow_links=follow_links,
        protocol=protocol,
        predictors=runs,
        datasets=tuple(d for d in datasets.split(",") if d),
        limit=limit,
        structures=structures,
        untrained=untrained,
        output=output,
    )
    with progress_bar(protocol, quiet or json) as progress:
        report = evaluate(chosen, progress, found.card(folder))
    if json:
        result_json(found.as_json(folder) | {"measured": as_json(report)})
    else:
        result(f"\n{dataset_table(report)}\n\n{summary_table(report)}")
        if untrained:
            tell("Random weights: this shows that the path runs, and nothing else.")
        if report.distrusted:
            tell(f"{report.distrusted} results kept in {output} were edited since they were written: measured again.")
        tell(f"Tables, curves and pictures: {output / protocol}.html")
    if report.failures:
        tell("\n".join(["Failed:", *map(failure_line, report.failures[:5])]))
        raise typer.Exit(1)


def corruptions(
    image: Annotated[Path, typer.Argument(help="A picture.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet (.png).")],
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    overwrite: options.Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Draw a picture under every corruption of the robustness protocols, severities 1 to 5."""
    from delineate.evaluation.corruption_sheet import corruption_sheet
    from delineate.io.opening import open_scan
    from delineate.io.outputs import Outputs
    from delineate.io.own_files import png_mark
    from delineate.preprocess.display import display_window, shown

    scan = open_scan(image)
    with Outputs([output], [image], overwrite) as outputs:
        sheet = corruption_sheet(shown(scan.pixels(0), display_window(scan)), seed=seed)
        sheet.save(outputs.stage(output), format="PNG", pnginfo=png_mark())
    tell(f"Drawn: {output}")
