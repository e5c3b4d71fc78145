"""Nothing was pointed at: on a terminal, a picture to point by is offered."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from delineate.cli.console import result, tell
from delineate.core.errors import PromptError

if TYPE_CHECKING:
    from delineate.io.options import ReadOptions


def offer_picture(error: PromptError, input: Path, reading: ReadOptions) -> None:
    """Offer a frame with rulers, and write it where a person says yes; nothing where nobody is at a terminal."""
    if error.code != "E-PROMPT-NONE" or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    from delineate.io.naming import stem_of
    from delineate.io.opening import open_scan
    from delineate.verbs.inspect import describe, save_ruler_picture

    picture = _free(f"{stem_of(input)}.where")
    tell("Nothing says which structure is meant: the numbers of a box or a click can be read off a picture.")
    if not typer.confirm(f"Write {picture}, with rulers in these numbers?", default=True, err=True):
        return
    scan = open_scan(input, reading)
    save_ruler_picture(scan, picture)
    result(f"Picture:  {picture}")
    result(f"Then, with your numbers:  {describe(scan, reading).command}")
    raise typer.Exit(2)


def _free(stem: str) -> Path:
    """A name that nothing has."""
    number, path = 1, Path(f"{stem}.png")
    while path.exists():
        number += 1
        path = Path(f"{stem}{number}.png")
    return path
