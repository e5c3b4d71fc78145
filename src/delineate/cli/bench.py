"""``delineate bench``: speed on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import result


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats, a shorter clip.")] = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure milliseconds a click, frames a second, memory and start-up time; prints a Markdown table."""
    from delineate.bench import as_json, as_markdown
    from delineate.bench import bench as run

    lines = run(clicks=10, long_clip=200) if quick else run()
    result(as_json(lines) if json else as_markdown(lines))
