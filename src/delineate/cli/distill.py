"""``delineate distill``: a small encoder that answers as a large one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json, step_counter, tell
from delineate.core.terminal_text import command


def distill(
    data: Annotated[Path, typer.Argument(help="A folder of scans; labels are used by kd_sam alone.")],
    teacher: Annotated[str, typer.Option(help="A SAM-shaped system, or its file.")],
    follow_links: options.FollowLinks = False,
    student: Annotated[str, typer.Option(help="A SAM-shaped system, from random weights.")] = "mobile_sam",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the student and the log.")] = Path(
        "distilled"
    ),
    recipe: Annotated[str, typer.Option(help="How: mobile_sam, lite_medsam or kd_sam.")] = "mobile_sam",
    start: Annotated[Path | None, typer.Option(help="Weights the student begins from.")] = None,
    teacher_system: Annotated[str | None, typer.Option(help="Which system the teacher's file belongs to.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of each stage.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures a step.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate of the encoder.")] = None,
    every: Annotated[int | None, typer.Option(help="Steps between measurements.")] = None,
    held_out: Annotated[float | None, typer.Option(help="Share of subjects to measure on.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split and the order.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in the output folder stopped.")] = False,
    untrained: options.Untrained = False,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Teach a small encoder a large one's embeddings, and give it the large one's decoder."""
    from dataclasses import replace

    from delineate.core.errors import MissingExtraError, ModelError
    from delineate.data.layouts import read_dataset
    from delineate.data.learned_from import write_learned_from
    from delineate.data.subjects import split_by_subject
    from delineate.io.outputs import check_run_folder
    from delineate.predictors.capabilities import NetworkKind
    from delineate.systems import BuildOptions, build

    read = (data, start, options.model_file(teacher), options.model_file(student))
    check_run_folder(output, read, "last.safetensors", resume)
    how = BuildOptions(None, untrained, threads, device, "fp32")
    wise: Any = build(teacher, how, teacher_system)
    young: Any = build(student, replace(how, untrained=True, checkpoint=start))
    if any(one.capabilities.network is not NetworkKind.SAM for one in (wise, young)):
        raise ModelError("E-DISTILL-SYSTEM", "Teacher and student must be SAM-shaped.", "See: delineate systems")
    try:
        from delineate.training.distill import distill as run
        from delineate.training.frames import to_learn_from
        from delineate.training.recipes import Wishes, distillation_named
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error

    wishes = Wishes(output, steps, batch, rate, every=every, held_out=held_out, seed=seed, resume=resume, probe=False)
    layout, cases = read_dataset(data, follow_links)
    tell(f"{len(cases)} cases ({layout}); recipe {recipe}")
    with step_counter(json) as (say, progress):
        chosen = replace(wishes, progress=progress).of_distillation(distillation_named(recipe, output))
        found = run(wise, young, cases, chosen, lambda line: say(
            f"  step {line['step']:6.0f}  loss {line['loss']:.4f}  held out {line['quality']:.4f}  "
            f"{line['minutes_left']:.1f} min left"
        ))  # fmt: skip
    write_learned_from(output, *split_by_subject(to_learn_from(cases), (1 - chosen.held_out, chosen.held_out), seed))
    if json:
        result_json({"before": found.before, "after": found.after, "weights": str(found.weights), "dice": found.dice})
        return
    result(f"Relative error of embeddings on held-out subjects: {found.before:.3f} before, {found.after:.3f} after")
    if found.dice is not None:
        result("Dice on held-out subjects: {:.3f} before the decoder learned, {:.3f} after".format(*found.dice))
    use = command("-m", found.weights, "--system", student)
    result(f"  {found.weights}\nUse it: delineate segment FILE --box ... {use}")
