"""``delineate distill``: a small encoder that answers as a large one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json, step_counter
from delineate.cli.groups import grouped, request_of
from delineate.cli.train import begun
from delineate.core.terminal_text import command

if TYPE_CHECKING:
    from delineate.verbs.distill import DistillResult


@dataclass(frozen=True)
class Pair:
    """Who learns from whom."""

    TITLE: ClassVar[str] = "Teacher and student"

    teacher: Annotated[str, typer.Option(help="A SAM-shaped system, or its file.")]
    teacher_system: Annotated[str | None, typer.Option(help="Which system the teacher's file belongs to.")] = None
    student: Annotated[str, typer.Option(help="A SAM-shaped system, from random weights.")] = "mobile_sam"
    start: Annotated[Path | None, typer.Option(help="Weights the student begins from.")] = None
    untrained: options.Untrained = False


@dataclass(frozen=True)
class Distilling:
    """How it learns."""

    TITLE: ClassVar[str] = "How it learns"

    recipe: Annotated[str, typer.Option(help="How: mobile_sam, lite_medsam or kd_sam.")] = "mobile_sam"
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of each stage.")] = None
    batch: Annotated[int | None, typer.Option(help="Pictures a step.")] = None
    rate: Annotated[float | None, typer.Option(help="Learning rate of the encoder.")] = None
    every: options.Every = None
    held_out: Annotated[float | None, typer.Option(help="Share of subjects to measure on.")] = None
    seed: Annotated[int, typer.Option(help="Of the split and the order.")] = 0
    device: options.Device = "auto"
    threads: options.Threads = 0


@dataclass(frozen=True)
class DistilledOutput:
    """What is written where."""

    TITLE: ClassVar[str] = "Output"

    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the student and the log.")] = Path(
        "distilled"
    )
    resume: options.Resume = False


@grouped
def distill(
    data: Annotated[Path, typer.Argument(help="A folder of scans, labeled or not; kd_sam alone uses labels.")],
    pair: Pair,
    learning: Distilling,
    writing: DistilledOutput,
    follow_links: options.FollowLinks = False,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Teach a small encoder a large one's embeddings, and give it the large one's decoder."""
    from delineate.verbs.distill import DistillRequest
    from delineate.verbs.distill import distill as run

    request = request_of(DistillRequest, pair, learning, writing, data=data, follow_links=follow_links)
    with step_counter(json) as (say, progress):
        done = run(request, progress, lambda start: say(begun(start)), lambda line: say(_measured(line)))
    if json:
        result_json(done.as_json())
    else:
        print_distilled(done)


def print_distilled(done: DistillResult) -> None:
    """How near the student came, and how it is used."""
    result(f"Relative error of embeddings on held-out subjects: {done.before:.3f} before, {done.after:.3f} after")
    if done.dice is not None:
        result("Dice on held-out subjects: {:.3f} before the decoder learned, {:.3f} after".format(*done.dice))
    use = command("-m", done.weights, "--system", done.student)
    result(f"  {done.weights}\nUse it: delineate segment FILE --box ... {use}")


def _measured(line: dict[str, float]) -> str:
    return (
        f"  step {line['step']:6.0f}  loss {line['loss']:.4f}  error held out {-line['quality']:.4f}  "
        f"{line['minutes_left']:.1f} min left"
    )
