"""``delineate inspect``: what a file is, on one screen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json
from delineate.cli.groups import grouped


@grouped
def inspect(
    input: Annotated[Path, typer.Argument(help="Image, volume, video, DICOM folder or folder of frames.")],
    reading: options.Reading,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show what a scan is: size, geometry, intensities, kind of picture, and the command to start with."""
    from delineate.verbs.inspect import InspectRequest
    from delineate.verbs.inspect import inspect as run

    card = run(InspectRequest(input=input, reading=reading.options)).as_json()
    if json:
        result_json(card)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.panel import Panel
    from rich.table import Table

    from delineate.core.terminal_text import printable

    table = Table.grid(padding=(0, 2))
    for name, value in card.items():
        text = value if isinstance(value, str) else "\n".join(value)
        if text and name != "command":
            table.add_row(name.replace("_", " "), escape(printable(text)))
    console = Console()
    console.print(Panel(table, title=escape(printable(input.name)), title_align="left", expand=False))
    result(f"Start with:  {card['command']}")
