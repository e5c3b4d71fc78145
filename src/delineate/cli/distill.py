"""``delineate distill``: a small encoder that answers as a large one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json, tell


def distill(
    data: Annotated[Path, typer.Argument(help="A folder of scans; labels are not used.")],
    teacher: Annotated[str, typer.Option(help="A SAM-shaped system, or its file.")],
    student: Annotated[str, typer.Option(help="A SAM-shaped system, from random weights.")] = "mobile_sam",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the student and the log.")] = Path(
        "distilled"
    ),
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 300,
    batch: Annotated[int, typer.Option(help="Pictures a step.")] = 4,
    rate: Annotated[float, typer.Option(help="Learning rate.")] = 5e-4,
    seed: Annotated[int, typer.Option(help="Of the split and the order.")] = 0,
    untrained: options.Untrained = False,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Teach a small encoder a large one's embeddings, and give it the large one's decoder (MobileSAM's recipe)."""
    from dataclasses import replace

    from delineate.data.layouts import read_dataset
    from delineate.errors import ModelError
    from delineate.systems import BuildOptions, build

    how = BuildOptions(None, untrained, threads, device, "fp32")
    wise: Any = build(teacher, how)
    young: Any = build(student, replace(how, untrained=True))
    if not (hasattr(wise, "behaviour") and hasattr(young, "behaviour")):
        raise ModelError("E-DISTILL-SYSTEM", "Teacher and student must be SAM-shaped.", "See: delineate systems")
    from delineate.training.distill import Distillation
    from delineate.training.distill import distill as run

    layout, cases = read_dataset(data)
    tell(f"{len(cases)} cases ({layout})")
    recipe = Distillation(output, steps, batch, rate, seed=seed)
    found = run(wise, young, cases, recipe, lambda line: tell(f"  {line}"))
    if json:
        result_json({"before": found.before, "after": found.after, "weights": str(found.weights)})
        return
    result(f"Relative error of embeddings on held-out subjects: {found.before:.3f} before, {found.after:.3f} after")
    result(f"  {found.weights}\nUse it: delineate segment FILE --box ... -m {found.weights} --system {student}")
