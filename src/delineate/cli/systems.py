"""``delineate systems`` and ``delineate models list``."""

from __future__ import annotations

from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json


def systems(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None, json: options.Json = False
) -> None:
    """List the systems that can be run, or show one: prompts, profile, recipe, citation, licence."""
    from dataclasses import asdict

    from delineate.errors import ModelError
    from delineate.systems import SYSTEMS

    if name is not None and name not in SYSTEMS:
        raise ModelError("E-MODEL-UNKNOWN", f'There is no system "{name}".', f"There are: {', '.join(SYSTEMS)}.")
    chosen = [SYSTEMS[name]] if name else list(SYSTEMS.values())
    cards = [{k: v for k, v in asdict(s).items() if k not in ("build", "weights")} for s in chosen]
    if json:
        result_json(cards)
    elif name is None:
        for system in chosen:
            result(f"{system.name:12}  {system.summary}")
    else:
        for key, value in cards[0].items():
            result(f"{key:10}  {', '.join(value) if isinstance(value, tuple) else value}")


def models_list(json: options.Json = False) -> None:
    """List the model files on this machine."""
    from delineate.systems import SYSTEMS

    rows = [
        {
            "name": s.name,
            "file": str(s.weights),
            "megabytes": round(s.weights.stat().st_size / 1e6, 1) if s.weights.is_file() else None,
            "licence": s.licence,
        }
        for s in SYSTEMS.values()
        if s.weights is not None
    ]
    if json:
        result_json(rows)
        return
    for row in rows:
        size = f"{row['megabytes']} MB" if row["megabytes"] else "missing"
        result(f"{row['name']:12}  {size:10}  {row['licence']:12}  {row['file']}")
