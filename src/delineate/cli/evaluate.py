"""``delineate evaluate``: how good it is, beside honest baselines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from delineate.cli import options
from delineate.cli.console import progress_bar, result, result_json, tell
from delineate.cli.groups import grouped, request_of, values
from delineate.core.terminal_text import counted

if TYPE_CHECKING:
    from delineate.verbs.evaluate import EvaluateResult


@dataclass(frozen=True)
class Selection:
    """Which scans and models are measured."""

    TITLE: ClassVar[str] = "What is measured"

    data: Annotated[
        Path | None, typer.Option(help="Folder of labeled scans in any known layout; default $DELINEATE_DATA.")
    ] = None
    follow_links: options.FollowLinks = False
    predictors: Annotated[str, typer.Option(help="Comma-separated; all that suit the protocol by default.")] = ""
    datasets: Annotated[str, typer.Option(help="Comma-separated; all by default.")] = ""
    limit: Annotated[int | None, typer.Option(help="At most so many cases of each data set.")] = None
    structures: Annotated[int, typer.Option(help="At most so many structures of a case.")] = 12
    untrained: options.Untrained = False
    precision: options.Precision = "fp32"
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the tables; earlier results are reused.")
    ] = Path("evaluation")

    @property
    def fields(self) -> dict[str, Any]:
        """As a request takes them."""
        names = {
            name: tuple(one for one in getattr(self, name).split(",") if one) for name in ("predictors", "datasets")
        }
        return values(self) | names


@grouped
def evaluate(
    selection: Selection,
    talking: options.PrintOptions,
    protocol: Annotated[str, typer.Option(help="Its name; docs/reference/evaluation.md lists them.")] = "box-2d",
    seed: Annotated[int, typer.Option(help="Of the simulated prompts.")] = 0,
    with_training: Annotated[
        bool, typer.Option("--with-training", help="Also scans that a model learned from.")
    ] = False,
    variant: options.Variant = "",
) -> None:
    """Measure models and baselines on labeled scans; writes tables, numbers and a sheet of the worst cases."""
    from delineate.verbs.evaluate import EvaluateRequest
    from delineate.verbs.evaluate import evaluate as run

    request = request_of(
        EvaluateRequest, protocol=protocol, seed=seed, with_training=with_training, variant=variant, **selection.fields
    )
    with progress_bar(protocol, talking.quiet or talking.json) as progress:
        done = run(request, progress)
    if talking.json:
        result_json(done.as_json())
    else:
        print_report(done)
    exit_if_failed(done)


def print_report(done: EvaluateResult) -> None:
    """Tables, and where they are."""
    print_tables(done)
    if left := done.report.left_out:
        tell(
            counted(
                left, "case was left out: a model learned from it", "cases were left out: a model learned from them"
            )
            + " (--with-training measures them)."
        )
    tell(f"Tables and pictures: {done.page.parent}\nTo look at: {done.page}")


def print_tables(done: EvaluateResult) -> None:
    """By data set and over all, and whether kept results were not believed."""
    from delineate.evaluation.markdown import comparison_table, dataset_table, summary_table

    result(f"{dataset_table(done.report)}\n\n{summary_table(done.report)}\n\n{comparison_table(done.report)}")
    if done.report.supplement is not None:
        result(f"\n{done.report.supplement.title}\n\n{done.report.supplement.markdown}")
    if done.report.distrusted:
        where = f"results kept in {done.page.parent} were edited since they were written: measured again."
        tell(f"{done.report.distrusted} {where}")


def exit_if_failed(done: EvaluateResult) -> None:
    """Exit code 1, and the first reasons, if a case could not be measured."""
    from delineate.evaluation.markdown import failure_line

    if failures := done.report.failures:
        tell("\n".join(["Failed:", *map(failure_line, failures[:5])]))
        raise typer.Exit(1)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)
