"""``delineate train``: Quill from nothing, or a published system on your own labels."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.console import result, result_json, step_counter, tell
from delineate.core.terminal_text import command


def quill(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for checkpoints, log and model.")] = Path(
        "runs/quill"
    ),
    minutes: Annotated[float, typer.Option(help="Wall-clock budget.")] = 90.0,
    data: Annotated[
        Path | None, typer.Option(help="Folder with a manifest.json; only items marked train are used.")
    ] = None,
    follow_links: options.FollowLinks = False,
    start: Annotated[Path | None, typer.Option(help="Weights (.safetensors) or quill.onnx to begin from.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in the output folder stopped.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of data, prompts and weights.")] = 0,
    batch: Annotated[int, typer.Option(help="Crops a step.")] = 32,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-3,
    keep: Annotated[float, typer.Option(min=0, max=1, help="Share of --start's weights kept at the end.")] = 0.0,
    version: Annotated[str, typer.Option(help="Version written into the model.")] = "0",
    workers: Annotated[int, typer.Option(help="Processes that make scenes; 0: as many as make sense.")] = 0,
    device: Annotated[str, typer.Option("--device", help="Where it learns: auto, cpu, cuda, cuda:1.")] = "auto",
    threads: options.Threads = 0,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train the small model from synthetic scenes, and from real ones marked for training if a data folder is given."""
    from delineate.core.errors import MissingExtraError
    from delineate.io.outputs import check_run_folder

    try:
        from delineate.quill.train.training import QuillTraining, train_quill
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error

    check_run_folder(output, (data, start), "last.safetensors", resume)
    recipe = QuillTraining(
        output, minutes, data, start, resume, seed, batch, rate, keep=keep, version=version, threads=threads,
        workers=workers, device=device, follow_links=follow_links,
    )  # fmt: skip

    def show(line: dict[str, float]) -> None:
        if not quiet:
            tell(
                f"{line['minutes']:7.1f} min  step {line['step']:6.0f}  loss {line['loss']:.3f}  "
                f"IoU shown {line['iou_chosen']:.3f}  held out {line['quality']:.3f}"
            )

    path = train_quill(recipe, show)
    result(str(path))
    tell(f"Try it: delineate segment FILE --box … {command('--model', path)}")


def finetune(
    data: Annotated[Path, typer.Argument(help="Labelled scans: delineate dataset check says what it sees.")],
    follow_links: options.FollowLinks = False,
    model: Annotated[str, typer.Option("--model", "-m", help="A system, or its file.")] = "lite_medsam",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights and log.")] = Path("finetuned"),
    recipe: Annotated[
        str | None, typer.Option(help="How; the first that fits by default. All of them: delineate train recipes.")
    ] = None,
    part: Annotated[str | None, typer.Option(help="What learns: decoder (embeddings are kept), encoder, all.")] = None,
    peft: Annotated[str | None, typer.Option(help="Adapters in the encoder: lora, dora, adalora.")] = None,
    rank: Annotated[int, typer.Option(help="Of the adapters.")] = 8,
    memory: Annotated[str | None, typer.Option(help="Choose batch and precision to fit, such as 8GB.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    batch: Annotated[int | None, typer.Option(help="Structures a step.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    every: Annotated[int | None, typer.Option(help="Steps between measurements.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of a moving average of the weights; 0: none.")] = None,
    flips: Annotated[
        float | None, typer.Option(help="Chance of a picture being mirrored along an axis; 0 where sides matter.")
    ] = None,
    teacher: Annotated[str | None, typer.Option(help="For lite_medsam: whose embeddings are learned first.")] = None,
    held_out: Annotated[float, typer.Option(help="Share of subjects to measure on.")] = 0.25,
    seed: Annotated[int, typer.Option(help="Of the split and the prompts.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in the output folder stopped.")] = False,
    system: options.SystemName = None,
    untrained: options.Untrained = False,
    device: options.Device = "auto",
    precision: Annotated[str | None, typer.Option(help="Of training: fp32, bf16 or fp16.")] = None,
    threads: options.Threads = 0,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Fine-tune a system on labelled scans; measured before the first step, keeps only what is better than that."""
    from delineate.core.errors import MissingExtraError
    from delineate.io.outputs import check_run_folder
    from delineate.systems import BuildOptions, build

    check_run_folder(
        output, (data, options.model_file(model), Path(teacher) if teacher else None), "last.safetensors", resume
    )
    how = BuildOptions(None, untrained, threads, _own_device(device), "fp32")
    predictor: Any = build(model, how, system)
    try:
        from delineate.training.recipes import Wishes, recipe_for
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error
    from delineate.data.layouts import read_dataset
    from delineate.data.learned_from import write_learned_from
    from delineate.data.subjects import split_by_subject
    from delineate.training.frames import to_learn_from

    chosen = recipe_for(recipe, predictor)
    wishes = Wishes(
        output, steps, batch, rate, _part(part), _adapter(peft, rank), every, ema, None, precision, False, held_out,
        seed, resume, None if teacher is None else build(teacher, how), flips=flips,
    )  # fmt: skip
    if memory is not None:
        wishes, plan = chosen.within(predictor, wishes, memory)
        tell("\n".join(["Memory, estimated:", *plan.estimate.lines(), *(f"  chosen: {c}" for c in plan.changes)]))
    layout, cases = read_dataset(data, follow_links)
    tell(f"{len(cases)} cases ({layout}); recipe {chosen.name}: {chosen.summary}")
    learned, held = split_by_subject(to_learn_from(cases), (1 - held_out, held_out), seed)
    with step_counter(json) as (say, progress):
        outcome = chosen.run(predictor, cases, replace(wishes, progress=progress), lambda line: say(_progress(line)))
    write_learned_from(output, learned, held)
    if json:
        result_json({"before": outcome.before, "best": outcome.best, "weights": str(outcome.weights or "")})
        return
    _report(outcome, output, predictor.record.name, f"{data}{' --follow-links' if follow_links else ''}")


def recipes(json: options.Json = False) -> None:
    """List the recipes of train finetune: what learns and how, whose it is, and where the figures come from."""
    from delineate.core.errors import MissingExtraError

    try:
        from delineate.training.recipes import RECIPES
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "train") from error
    rows = [{"name": r.name, "system": r.system, "summary": r.summary, "source": r.source} for r in RECIPES.values()]
    if json:
        result_json(rows)
        return
    for row in rows:
        result("{name:18}  {summary}\n{blank:18}  {system}; {source}".format(**row, blank=""))


def _report(outcome: Any, output: Path, name: str, data: str) -> None:
    """What was gained, for people; and how much the answer depends on the prompt, where that was measured."""
    from delineate.training.sensitivity import logged_table

    for line in logged_table(output):
        tell(line)
    result(f"Dice on held-out subjects: {outcome.before:.3f} before, {outcome.best:.3f} at best (step {outcome.step})")
    if outcome.weights is None:
        result("Nothing was better than before; nothing was kept.")
    else:
        system = () if outcome.weights.suffix == ".onnx" else ("--system", name)
        use = command("-m", outcome.weights, *system)
        result(f"  {outcome.weights}\nUse it: delineate segment FILE --box ... {use}")
        file = f"{outcome.weights}" if not system else f"{name}={outcome.weights}"
        see = command("delineate", "evaluate", "--data", data, "--predictors", f"{name},{file}", "-o", "report")
        result(f"See it on what was held out: {see}")
        if (adapter := output / "adapter.safetensors").is_file():
            result(
                f"Or, where the base is: delineate segment FILE --box ... {command('-m', name, '--adapter', adapter)}"
            )


def _own_device(device: str) -> str:
    """Of several processes that were launched together, each takes its own GPU."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if device in ("auto", "cuda") and rank is not None and _has_gpu() else device


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _part(name: str | None) -> Any:
    """Raises ModelError for parts there are not."""
    from delineate.core.errors import ModelError
    from delineate.training.finetune import Part

    if name is not None and name not in list(Part):
        raise ModelError("E-TRAIN-PART", f'There is no part "{name}".', f"--part is one of {', '.join(Part)}.")
    return None if name is None else Part(name)


def _adapter(kind: str | None, rank: int) -> Any:
    """Raises ModelError for kinds there are not."""
    from delineate.core.errors import ModelError
    from delineate.training.encoder_adapters import AdapterKind, AdapterOptions

    if kind is not None and kind not in list(AdapterKind):
        raise ModelError(
            "E-TRAIN-PART", f'There is no adapter "{kind}".', f"--peft is one of {', '.join(AdapterKind)}."
        )
    return None if kind is None else AdapterOptions(AdapterKind(kind), rank, 2.0 * rank)


def _progress(line: dict[str, float]) -> str:
    return (
        f"  step {line['step']:6.0f}  loss {line['loss']:.4f}  held out {line['quality']:.4f}  "
        f"(best {line['best']:.4f}, before {line['before']:.4f})  {line['minutes_left']:.1f} min left"
    )
