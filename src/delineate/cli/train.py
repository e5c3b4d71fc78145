"""``delineate train quill``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import result, tell


def quill(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for checkpoints, log and model.")] = Path(
        "runs/quill"
    ),
    minutes: Annotated[float, typer.Option(help="Wall-clock budget.")] = 90.0,
    data: Annotated[
        Path | None, typer.Option(help="Folder with a manifest.json; only items marked train are used.")
    ] = None,
    start: Annotated[Path | None, typer.Option(help="Weights (.safetensors) to begin from.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in the output folder stopped.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of data, prompts and weights.")] = 0,
    batch: Annotated[int, typer.Option(help="Crops a step.")] = 32,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-3,
    version: Annotated[str, typer.Option(help="Version written into the model.")] = "0",
    threads: options.Threads = 0,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train the small model from synthetic scenes, and from real ones marked for training if a data folder is given."""
    from delineate.errors import MissingExtraError

    try:
        from delineate.training.quill_training import QuillTraining, train_quill
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error

    recipe = QuillTraining(output, minutes, data, start, resume, seed, batch, rate, version=version, threads=threads)

    def show(line: dict[str, float]) -> None:
        if not quiet:
            tell(
                f"{line['minutes']:7.1f} min  step {line['step']:6.0f}  loss {line['total']:.3f}  "
                f"IoU shown {line['iou_chosen']:.3f}  best of three {line['iou_best']:.3f}"
            )

    path = train_quill(recipe, show)
    result(str(path))
    tell(f"Try it: delineate segment FILE --box … --model {path}")
