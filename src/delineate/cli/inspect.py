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
    picture: Annotated[
        Path | None, typer.Option(help="Write a PNG of one frame with rulers in the numbers prompts use.")
    ] = None,
    frame: Annotated[int | None, typer.Option(help="Frame of the picture.  [default: the middle one]")] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show what a scan is: size, geometry, intensities, kind of picture, and the command to start with.

    delineate inspect heart.nii.gz --picture where.png --frame 3
    """
    from delineate.verbs.inspect import InspectRequest
    from delineate.verbs.inspect import inspect as run

    request = InspectRequest(input=input, reading=reading.options, picture=picture, frame=frame, overwrite=overwrite)
    card = run(request).as_json()
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
    if picture is not None:
        result(f"Picture:     {picture}")
    result(f"Start with:  {card['command']}")
    if picture is None:
        result("             This box is the middle third; read yours off a picture: --picture where.png")
