"""``delineate doctor``: is everything there, and how fast is this machine."""

from __future__ import annotations

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json


def doctor(json: options.Json = False, debug: options.Debug = False) -> None:
    """Check the installation: versions, processor, model, and one click timed. Exit code 1 if something is broken."""
    from delineate.verbs.doctor import DoctorRequest
    from delineate.verbs.doctor import doctor as run

    done = run(DoctorRequest())
    if json:
        result_json(done.as_json())
    else:
        for name, value in done.card.items():
            result(f"{name:12}  {value}")
        result("everything works" if done.healthy else "something is broken: see above")
    if not done.healthy:
        raise typer.Exit(1)
