"""The command ``delineate``: one file a verb. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import sys

import typer

from delineate.cli import (
    auto,
    bench,
    dataset,
    demo,
    distill,
    doctor,
    evaluate,
    inspect,
    models,
    replay,
    segment,
    systems,
    train,
)
from delineate.cli.console import tell_warnings
from delineate.cli.groups import GroupedCommand
from delineate.cli.guard import close_streams, run

app = typer.Typer(
    name="delineate",
    help="Point at a structure once; get it outlined in the image, the whole volume, the whole video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help="Model files.", no_args_is_help=True)
dataset_app = typer.Typer(help="Labelled scans.", no_args_is_help=True)
bench_app = typer.Typer(invoke_without_command=True)
train_app = typer.Typer(help="Train a model.", no_args_is_help=True)
app.command(cls=GroupedCommand)(segment.segment)
app.command(cls=GroupedCommand)(replay.replay)
app.command(cls=GroupedCommand)(auto.auto)
app.command(cls=GroupedCommand)(inspect.inspect)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command(cls=GroupedCommand)(distill.distill)
app.command(cls=GroupedCommand)(evaluate.evaluate)
app.command()(systems.systems)
models_app.command("list")(models.listed)
models_app.command("pull")(models.pull)
models_app.command("import")(models.imported)
models_app.command("export")(models.exported)
models_app.command("verify")(models.verify)
dataset_app.command("check")(dataset.check)
dataset_app.command("shard")(dataset.shard)
train_app.command("quill", cls=GroupedCommand)(train.quill)
train_app.command("finetune", cls=GroupedCommand)(train.finetune)
train_app.command("recipes")(train.recipes)
bench_app.callback()(bench.bench)
bench_app.command("reproduce", cls=GroupedCommand)(bench.reproduce)
bench_app.command("corruptions")(bench.corruptions)
app.add_typer(bench_app, name="bench")
app.add_typer(dataset_app, name="dataset")
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")


def main() -> None:
    """Run the command line: exit code 0 done, 1 a case failed, 2 bad input, 130 interrupted."""
    tell_warnings(quiet=not {"-q", "--quiet"}.isdisjoint(sys.argv))
    code = run(app, sys.argv[1:])
    close_streams()
    sys.exit(code)
