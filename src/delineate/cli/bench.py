"""``delineate bench``: speed on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats, a shorter clip.")] = False,
    systems: Annotated[bool, typer.Option("--systems", help="The published systems instead of Quill.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure milliseconds a click, frames a second, memory and start-up time; prints a Markdown table."""
    from delineate.bench import as_json, as_markdown
    from delineate.bench import bench as run

    with progress_bar("Measuring", quiet or json) as progress:
        if systems:
            from delineate.systems.building import needs_torch

            needs_torch("bench --systems")
            from delineate.bench_systems import bench_systems

            lines = bench_systems(8, 1, progress) if quick else bench_systems(progress=progress)
            result(as_json(lines) if json else as_markdown(lines))
            return
        lines = run(10, 200, progress) if quick else run(progress=progress)
    result(as_json(lines) if json else as_markdown(lines))
