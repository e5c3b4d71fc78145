"""``delineate replay``: an earlier run done again from its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.cli import distill, evaluate, options, train
from delineate.cli.console import progress_bar, result_json, tell
from delineate.cli.groups import grouped
from delineate.cli.guard import FAILED
from delineate.cli.segment_report import end, print_result

if TYPE_CHECKING:
    from delineate.verbs.request import Result


@grouped
def replay(
    manifest: Annotated[
        Path,
        typer.Argument(help="The .manifest.json beside an output, an evaluation's .json, a training's request.json."),
    ],
    talking: options.PrintOptions,
    input: Annotated[
        Path | None, typer.Option(help="The scan or folder of scans, if neither beside the manifest nor here.")
    ] = None,
    model: Annotated[Path | None, typer.Option("--model", "-m", help="The model file, likewise.")] = None,
    adapter: options.Adapter = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File or folder to write.")] = None,
    overwrite: options.Overwrite = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although the scan, the model or the version is another.")
    ] = False,
) -> None:
    """Do an earlier run again, with its model, options and prompts; exit code 1 if what it gives differs in a bit.

    delineate replay liver.manifest.json
    """
    from delineate.verbs.replay import ReplayRequest
    from delineate.verbs.replay import replay as run
    from delineate.verbs.request import OutputChoice, RunResult

    request = ReplayRequest(
        manifest=manifest,
        input=input,
        model=model,
        adapter=adapter,
        output=OutputChoice(path=output, overwrite=overwrite),
        force=force,
    )
    with progress_bar("Doing it again", talking.quiet or talking.json) as progress:
        done = run(request, progress)
    _print(done.run, talking)
    what = "outlines" if isinstance(done.run, RunResult) else "numbers"
    if done.same:
        tell(f"The {what} are those of the first run, to the last bit.")
    elif done.same is None and isinstance(done.run, RunResult):
        tell("Written in another format than the first run: not compared with it.")
    elif done.same is False:
        changed = ", ".join(done.libraries) or "the same versions"
        tell(f"The {what} differ from those of the first run. Libraries: {changed}.")
        raise typer.Exit(FAILED)
    if isinstance(done.run, RunResult):
        end(done.run)


def _print(done: Result, talking: options.PrintOptions) -> None:
    """What the verb prints itself."""
    from delineate.verbs.distill import DistillResult
    from delineate.verbs.evaluate import EvaluateResult
    from delineate.verbs.finetune import FinetuneResult
    from delineate.verbs.request import RunResult
    from delineate.verbs.train_quill import TrainQuillResult

    match done:
        case RunResult():
            print_result(done, talking)
        case _ if talking.json:
            result_json(done.as_json())
        case EvaluateResult():
            evaluate.print_report(done)
        case FinetuneResult():
            train.print_finetuned(done)
        case TrainQuillResult():
            train.print_quill(done)
        case DistillResult():
            distill.print_distilled(done)
