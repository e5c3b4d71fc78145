"""``delineate evaluate``: how good it is, beside honest baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell


def evaluate(
    data: Annotated[
        Path | None, typer.Option(help="Folder of labelled scans in any known layout; default $DELINEATE_DATA.")
    ] = None,
    follow_links: options.FollowLinks = False,
    protocol: Annotated[str, typer.Option(help="Its name; docs/evaluation.md lists them.")] = "box-2d",
    predictors: Annotated[str, typer.Option(help="Comma-separated; all that suit the protocol by default.")] = "",
    datasets: Annotated[str, typer.Option(help="Comma-separated; all by default.")] = "",
    limit: Annotated[int | None, typer.Option(help="At most so many cases of each data set.")] = None,
    structures: Annotated[int, typer.Option(help="At most so many structures of a case.")] = 12,
    seed: Annotated[int, typer.Option(help="Of the simulated prompts.")] = 0,
    with_training: Annotated[
        bool, typer.Option("--with-training", help="Also scans that a model learned from.")
    ] = False,
    untrained: options.Untrained = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the tables; earlier results are reused.")
    ] = Path("evaluation"),
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure models and baselines on labelled scans; writes tables, numbers and a sheet of the worst cases."""
    from delineate.evaluation.markdown import comparison_table, dataset_table, failure_line, summary_table
    from delineate.evaluation.report import as_json
    from delineate.evaluation.runner import EvaluateOptions
    from delineate.evaluation.runner import evaluate as run

    chosen = EvaluateOptions(
        data=data,
        follow_links=follow_links,
        protocol=protocol,
        predictors=tuple(p for p in predictors.split(",") if p),
        datasets=tuple(d for d in datasets.split(",") if d),
        limit=limit,
        structures=structures,
        seed=seed,
        with_training=with_training,
        untrained=untrained,
        output=output,
    )
    with progress_bar(protocol, quiet or json) as progress:
        report = run(chosen, progress)
    if json:
        result_json(as_json(report))
    else:
        result(dataset_table(report))
        result("")
        result(summary_table(report))
        result(f"\n{comparison_table(report)}")
        if report.left_out:
            tell(f"{report.left_out} cases were left out: a model learned from them (--with-training measures them).")
        if report.distrusted:
            tell(f"{report.distrusted} results kept in {output} were edited since they were written: measured again.")
        tell(f"Tables and pictures: {output}\nTo look at: {output / protocol}.html")
    if report.failures:
        tell("\n".join(["Failed:", *map(failure_line, report.failures[:5])]))
        raise typer.Exit(1)
