"""``delineate train``: Quill from nothing, or a published system on your own labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json, tell


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


def finetune(
    data: Annotated[Path, typer.Argument(help="Labelled scans: delineate dataset check says what it sees.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A SAM-shaped system, or its file.")] = "lite_medsam",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights and log.")] = Path("finetuned"),
    part: Annotated[str, typer.Option(help="What learns: decoder (embeddings are kept) or all.")] = "decoder",
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 400,
    batch: Annotated[int, typer.Option(help="Structures a step.")] = 8,
    rate: Annotated[float, typer.Option(help="Learning rate.")] = 1e-4,
    held_out: Annotated[float, typer.Option(help="Share of subjects to measure on.")] = 0.25,
    seed: Annotated[int, typer.Option(help="Of the split and the prompts.")] = 0,
    system: options.SystemName = None,
    untrained: options.Untrained = False,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = 0,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Fine-tune a SAM-shaped system on boxes around labelled structures; keeps only what is better than before."""
    from delineate.errors import ModelError
    from delineate.systems import BuildOptions, build

    predictor: Any = build(model, BuildOptions(None, untrained, threads, device, precision), system)
    from delineate.data.layouts import read_dataset
    from delineate.training.finetune import Finetune, Part
    from delineate.training.finetune import finetune as run

    if part not in list(Part) or not hasattr(predictor, "behaviour"):
        raise ModelError(
            "E-TRAIN-PART", f"{predictor.record.name} cannot be fine-tuned here, or not its {part}.",
            "Name a SAM-shaped system (SAM, MedSAM, LiteMedSAM, SAM-Med2D, MobileSAM), and --part decoder or all.",
        )  # fmt: skip
    layout, cases = read_dataset(data)
    tell(f"{len(cases)} cases ({layout})")
    recipe = Finetune(output, Part(part), steps, batch, rate, held_out=held_out, seed=seed)
    outcome = run(predictor, cases, recipe, lambda line: tell(f"  {line}"))
    if json:
        result_json({"before": outcome.before, "best": outcome.best, "weights": str(outcome.weights or "")})
        return
    result(f"Dice on held-out subjects: {outcome.before:.3f} before, {outcome.best:.3f} at best (step {outcome.step})")
    if outcome.weights is None:
        result("Nothing was better than before; nothing was kept.")
    else:
        name = predictor.record.name
        result(f"  {outcome.weights}\nUse it: delineate segment FILE --box ... -m {outcome.weights} --system {name}")
