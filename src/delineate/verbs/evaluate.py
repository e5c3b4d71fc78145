"""The verbs ``evaluate`` and ``bench reproduce``: how good models are, beside baselines, by a protocol or a paper's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, SerializationInfo, field_serializer

from delineate.evaluation import runner
from delineate.evaluation.predictors import reported_names, variants_of
from delineate.evaluation.report import as_json
from delineate.evaluation.reproduce import REPRODUCTIONS, Reproduction, reproduction_named
from delineate.evaluation.runner import EvaluateOptions, named_data
from delineate.evaluation.tables import EvaluationReport
from delineate.verbs.records import RequestRecord
from delineate.verbs.request import NAMES_ONLY, FollowLinks, ModelName, Progress, Request, Untrained


class Selection(Request):
    """Which scans and models are measured, and where what was measured goes."""

    data: Path | None = Field(default=None, description="Folder of labeled scans; None: $DELINEATE_DATA.")
    follow_links: FollowLinks = False
    predictors: tuple[ModelName, ...] = Field(
        default=(), description="Systems, FILE, SYSTEM=FILE; none: all that suit."
    )
    datasets: tuple[str, ...] = Field(default=(), description="Only these; none: all.")
    limit: int | None = Field(default=None, description="At most so many cases of each data set.")
    structures: int = Field(default=12, description="At most so many structures of a case.")
    untrained: Untrained = False
    precision: str = Field(default="fp32", description="What systems compute in: fp32 unless asked.")
    output: Path = Field(default=Path("evaluation"), description="Folder for the tables; earlier results are reused.")

    @field_serializer("predictors")
    def _without_folders(self, names: tuple[str, ...], info: SerializationInfo) -> tuple[str, ...]:
        return tuple(reported_names(names).values()) if info.context == NAMES_ONLY else names


class EvaluateRequest(Selection):
    """Everything ``evaluate`` needs to know (``EvaluateOptions``)."""

    protocol: str = Field(default="box-2d", description="Its name; docs/reference/evaluation.md lists them.")
    seed: int = Field(default=0, ge=0, description="Of the simulated prompts.")
    with_training: bool = Field(default=False, description="Also scans that a model learned from.")
    variant: str = Field(default="", description="Of the systems that have it: delineate systems NAME.")

    @property
    def options(self) -> EvaluateOptions:
        """Raises DelineateError for what is not offered."""
        return EvaluateOptions(**dict(self))

    def model_post_init(self, _: object) -> None:
        _ = self.options


@dataclass(frozen=True)
class EvaluateResult:
    """What was measured, and the page to look at."""

    report: EvaluationReport
    page: Path

    def as_json(self) -> dict[str, Any]:
        return as_json(self.report)


def evaluate(request: EvaluateRequest, progress: Progress | None = None, card: Sequence[str] = ()) -> EvaluateResult:
    """Measure models and baselines on labeled scans; writes tables, numbers and a sheet of the worst cases.

    ``progress`` is called with (done, all), counting every case once for each predictor; ``card`` are lines to head the
    page with. A case that fails is in the report and does not stop the others. Raises InputError without data.
    """
    named = request.model_copy(update={"data": named_data(request.data)})
    record = RequestRecord.of("evaluate", named).model_dump()
    report = runner.evaluate(request.options, progress, card, record)
    return EvaluateResult(report, request.output / f"{request.protocol}.html")


def same_numbers(before: Path, now: EvaluateResult) -> bool:
    """Whether the numbers in a file of an earlier evaluation are these, but for the seconds."""

    def rows(report: dict[str, Any]) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in report["structures"]]

    return rows(json.loads(before.read_bytes())) == rows(now.as_json())


class ReproduceRequest(Selection):
    """Everything ``bench reproduce`` needs to know; "" and none: as the published evaluation has it."""

    name: str = Field(default="", description='A published evaluation or a protocol; "" lists all.')
    protocol: str = Field(default="", description="One of its variants instead of its own.")


@dataclass(frozen=True)
class ReproduceResult:
    """Published evaluations that were asked about, and what was measured of one where its weights and data are here."""

    evaluations: tuple[Reproduction, ...]
    data: Path | None
    measured: EvaluateResult | None = None

    def as_json(self) -> Any:
        cards = [one.as_json(self.data) for one in self.evaluations]
        if len(cards) > 1:
            return cards
        return cards[0] | ({} if self.measured is None else {"measured": self.measured.as_json()})


def reproduce(
    request: ReproduceRequest,
    progress: Progress | None = None,
    begun: Callable[[Reproduction, Path | None], None] | None = None,
) -> ReproduceResult:
    """Say what a published evaluation needs and reports, and run it where its weights and data are here.

    ``progress`` as of ``evaluate``; ``begun`` is called with the evaluation and the data before it is run.
    Raises InputError for unknown names.
    """
    folder = named_data(request.data)
    if not request.name:
        return ReproduceResult(tuple(REPRODUCTIONS.values()), folder)
    found = reproduction_named(request.name)
    runs = request.predictors or tuple(s for s in found.systems if request.untrained or s not in found.needed())
    if begun is not None:
        begun(found, folder)
    if folder is None or not runs:
        return ReproduceResult((found,), folder)
    fields = request.model_dump(exclude={"name"}) | {"data": folder, "protocol": request.protocol or found.protocol}
    variant = found.variant if any(found.variant in variants_of(one) for one in runs) else ""
    chosen = EvaluateRequest(**fields | {"predictors": runs, "variant": variant})
    return ReproduceResult((found,), folder, evaluate(chosen, progress, found.card(folder)))
