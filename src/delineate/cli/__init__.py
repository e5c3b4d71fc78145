"""The command ``delineate``: one file a verb. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from delineate.cli import (
    auto,
    batch,
    bench,
    clean,
    combine,
    compare,
    convert,
    dataset,
    demo,
    distill,
    doctor,
    evaluate,
    fill_between,
    inspect,
    measure,
    models,
    oneshot,
    replay,
    segment,
    serve,
    systems,
    train,
)
from delineate.cli.console import print_version, tell_warnings
from delineate.cli.groups import Command, CommandGroup, PairedCommand, VerbGroup
from delineate.cli.guard import close_streams, run
from delineate.cli.ordered import OrderedCommand

app = typer.Typer(
    name="delineate",
    cls=VerbGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(help="Model files: fetch, import, export, list and verify them.", no_args_is_help=True)
dataset_app = typer.Typer(help="Labeled scans: check them, pack them, make them.", no_args_is_help=True)
bench_app = typer.Typer(invoke_without_command=True, cls=CommandGroup)
train_app = typer.Typer(help="Train Quill, or fine-tune any system on your own scans.", no_args_is_help=True)
app.command(cls=PairedCommand)(oneshot.oneshot)
app.command(cls=OrderedCommand)(segment.segment)
app.command(cls=OrderedCommand)(batch.batch)
app.command(cls=Command)(replay.replay)
app.command(cls=Command)(auto.auto)
app.command(cls=Command)(inspect.inspect)
app.command(cls=Command)(clean.clean)
app.command(cls=Command)(combine.combine)
app.command("fill-between", cls=Command)(fill_between.fill_between)
app.command(cls=Command)(measure.measure)
app.command(cls=Command)(compare.compare)
app.command(cls=Command)(convert.convert)
app.command(cls=Command)(demo.demo)
app.command(cls=Command)(doctor.doctor)
app.command(cls=Command)(distill.distill)
app.command(cls=Command)(evaluate.evaluate)
app.command(cls=Command)(systems.systems)
app.command(cls=Command)(serve.serve)
app.command("open", cls=Command)(serve.opened)
models_app.command("list", cls=Command)(models.listed)
models_app.command("pull", cls=Command)(models.pull)
models_app.command("import", cls=Command)(models.imported)
models_app.command("export", cls=Command)(models.exported)
models_app.command("verify", cls=Command)(models.verify)
dataset_app.command("check", cls=Command)(dataset.check)
dataset_app.command("shard", cls=Command)(dataset.shard)
dataset_app.command("synthesize", cls=Command)(dataset.synthesize)
dataset_app.command("prepare", cls=Command)(dataset.prepare)
train_app.command("quill", cls=Command)(train.quill)
train_app.command("finetune", cls=Command)(train.finetune)
train_app.command("recipes", cls=Command)(train.recipes)
bench_app.callback()(bench.bench)
bench_app.command("reproduce", cls=Command)(bench.reproduce)
bench_app.command("corruptions", cls=Command)(bench.corruptions)
bench_app.command("compare", cls=Command)(bench.compare)
app.add_typer(bench_app, name="bench")
app.add_typer(dataset_app, name="dataset")
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")


@app.callback()
def delineate(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """Point at a structure once; get it outlined in the image, the whole volume, the whole video."""


def main() -> None:
    """Run the command line: ``cli.guard`` has the exit codes."""
    tell_warnings(quiet=not {"-q", "--quiet"}.isdisjoint(sys.argv))
    code = run(app, sys.argv[1:])
    close_streams()
    sys.exit(code)
