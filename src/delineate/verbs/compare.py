"""The verb ``bench compare``: models side by side by several protocols, and what ``-m auto`` goes by."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, SerializationInfo, field_serializer

from delineate.evaluation import comparison
from delineate.evaluation.comparison import OPINION, CompareOptions, Comparison
from delineate.evaluation.comparison_tables import as_markdown, tables
from delineate.evaluation.predictors import reported_names
from delineate.io.outputs import Outputs, check_run_folder
from delineate.io.own_files import MARK
from delineate.verbs.request import NAMES_ONLY, FollowLinks, ModelName, Progress, Request


class CompareRequest(Request):
    """Everything ``bench compare`` needs to know."""

    data: Path | None = Field(default=None, description="Folder of labeled scans; None: $DELINEATE_DATA.")
    follow_links: FollowLinks = False
    models: tuple[ModelName, ...] = Field(
        default=("quill", "lite_medsam"), description="The one others are compared with first."
    )
    limit: int = Field(default=3, ge=1, description="Cases of each data set; slower parts take a third or two thirds.")
    most_frames: int = Field(default=64, ge=1, description="Longer volumes and videos are not followed.")
    without: tuple[str, ...] = Field(default=(), description="Data sets that are left out.")
    seed: int = Field(default=0, ge=0, description="Of the simulated prompts.")
    output: Path = Field(default=Path("comparison"), description="Folder for the tables; earlier results are reused.")

    @field_serializer("models")
    def _without_folders(self, names: tuple[str, ...], info: SerializationInfo) -> tuple[str, ...]:
        return tuple(reported_names(names).values()) if info.context == NAMES_ONLY else names

    @property
    def options(self) -> CompareOptions:
        """Raises InputError for what is not offered."""
        return CompareOptions(**dict(self))

    def model_post_init(self, _: object) -> None:
        _ = self.options


@dataclass(frozen=True)
class CompareResult:
    """What was measured, and the files: tables to read, and the same for programs."""

    comparison: Comparison
    page: Path
    numbers: Path

    def as_json(self) -> dict[str, Any]:
        done = self.comparison
        found: dict[str, Any] = {"routing": done.routing.model_dump(mode="json")}
        if OPINION in done.reports:
            found["second_opinion"] = done.opinion_table.model_dump(mode="json")
        return {"format": "delineate-comparison/1", **found, "tables": tables(done)}


def compare(request: CompareRequest, progress: Progress | None = None) -> CompareResult:
    """Measure models side by side: boxes exact to sloppy, volumes, video, corruptions, and their confidence.

    ``progress`` as of ``evaluate``, over all parts. Raises InputError without data or with one model only.
    """
    page, numbers = (request.output / f"comparison{ending}" for ending in (".md", ".json"))
    check_run_folder(request.output, [])
    with Outputs([page, numbers], [], overwrite=True) as outputs:
        done = comparison.compare(request.options, progress)
        result = CompareResult(done, page, numbers)
        outputs.stage(page).write_text(as_markdown(done))
        outputs.stage(numbers).write_text(json.dumps({"mark": MARK, **result.as_json()}, indent=1) + "\n")
    return result
