"""``delineate systems``: what can be run."""

from __future__ import annotations

from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json


def systems(
    words: Annotated[list[str] | None, typer.Argument(help="A name, or: show NAME.", metavar="[NAME]")] = None,
    json: options.Json = False,
) -> None:
    """List the systems that can be run, or show one: prompts, profile, recipe, citation, license, reported figures."""
    from delineate.verbs.systems import SystemsRequest
    from delineate.verbs.systems import systems as run

    name = next((word for word in words or () if word != "show"), None)
    done = run(SystemsRequest(name=name))
    if json:
        result_json(done.as_json())
    elif name is None:
        for system in done.systems:
            result(f"{system.name:20}  {system.summary}")
    else:
        for key, value in done.cards[0].items():
            if value:
                result(f"{key:16}  {', '.join(value) if isinstance(value, list) else value}")
