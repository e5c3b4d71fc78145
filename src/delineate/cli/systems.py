"""``delineate systems``: what can be run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json


def systems(
    words: Annotated[list[str] | None, typer.Argument(help="A name, or: show NAME.", metavar="[NAME]")] = None,
    json: options.Json = False,
) -> None:
    """List the systems that can be run, or show one: prompts, profile, recipe, citation, license, reported figures."""
    from dataclasses import asdict

    from delineate.core.errors import ModelError
    from delineate.systems import SYSTEMS

    given = [word for word in words or () if word != "show"]
    name = given[0] if given else None
    if name is not None and name not in SYSTEMS:
        raise ModelError("E-MODEL-UNKNOWN", f'There is no system "{name}".', "See which there are: delineate systems")
    chosen = [SYSTEMS[name]] if name else list(SYSTEMS.values())
    cards = [
        {k: _plain(v) for k, v in asdict(s).items() if k not in ("build", "layout", "weights", "download")}
        for s in chosen
    ]
    if json:
        result_json(cards)
    elif name is None:
        for system in chosen:
            result(f"{system.name:20}  {system.summary}")
    else:
        for key, value in cards[0].items():
            if value:
                result(f"{key:16}  {', '.join(value) if isinstance(value, list) else value}")


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else value
