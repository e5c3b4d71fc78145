"""``delineate dataset``: look at labelled scans before training on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json


def check(
    folder: Annotated[Path, typer.Argument(help="Labelled scans in any known layout.")],
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Draw a contact sheet here (.png).")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Say what a folder of labelled scans holds and what is wrong with it; exit code 1 if something is."""
    from delineate.data.check import check_dataset

    with progress_bar("Opening every case", quiet or json) as progress:
        card = check_dataset(folder, sheet, progress)
    if json:
        result_json(
            {
                "layout": card.layout,
                "cases": card.cases,
                "sizes": dict(card.sizes),
                "structures": dict(card.structures),
                "problems": [{"case": p.case, "what": p.what} for p in card.problems],
            }
        )
    else:
        for line in card.lines:
            result(line)
        if sheet is not None:
            result(f"pictures    {sheet}")
    if card.problems:
        raise typer.Exit(1)
