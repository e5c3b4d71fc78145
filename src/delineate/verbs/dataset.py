"""The verbs ``dataset``: labeled scans looked at before training, and packed for training at scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from delineate.core.errors import PromptError
from delineate.data import check, shards
from delineate.data.layouts import read_dataset
from delineate.verbs.request import FollowLinks, Overwrite, Progress, Request


class CheckDatasetRequest(Request):
    """Everything ``dataset check`` needs to know."""

    folder: Path = Field(description="Labeled scans in any known layout.")
    sheet: Path | None = Field(default=None, description="Where a contact sheet is drawn (.png).")
    follow_links: FollowLinks = False
    overwrite: Overwrite = False


@dataclass(frozen=True)
class CheckDatasetResult:
    """What a folder holds, and what is wrong with it."""

    card: check.DatasetCard

    def as_json(self) -> dict[str, Any]:
        card = self.card
        return {
            "layout": card.layout,
            "cases": card.cases,
            "sizes": dict(card.sizes),
            "structures": dict(card.structures),
            "problems": [{"case": p.case, "what": p.what, "detail": p.detail} for p in card.problems],
        }


def check_dataset(request: CheckDatasetRequest, progress: Progress | None = None) -> CheckDatasetResult:
    """Say what a folder of labeled scans holds and what is wrong with it.

    Raises InputError for a folder of no known layout, OutputError for a sheet that must not be written.
    """
    card = check.check_dataset(request.folder, request.sheet, progress, request.overwrite, request.follow_links)
    return CheckDatasetResult(card)


class ShardDatasetRequest(Request):
    """Everything ``dataset shard`` needs to know."""

    folder: Path = Field(description="Labeled scans in any known layout.")
    output: Path = Field(description="New folder for the tar files.")
    size: str = Field(default="500MB", description="Of a tar file, about: 500MB, 2GB.")
    split: tuple[float, ...] = Field(
        default=(), description="Shares of train, val and test, subjects kept whole; none: as the layout has it."
    )
    seed: int = Field(default=0, ge=0, description="Of the split and the order.")
    follow_links: FollowLinks = False

    def model_post_init(self, _: object) -> None:
        shards.bytes_of(self.size)
        if self.split and (abs(sum(self.split) - 1) > 1e-6 or min(self.split) < 0):
            text = ",".join(f"{share:g}" for share in self.split)
            raise PromptError("E-OPTION", f'--split "{text}" does not sum to 1.', "Write it as 0.8,0.1,0.1.")


@dataclass(frozen=True)
class ShardDatasetResult:
    """What was packed: samples and files of each part."""

    layout: str
    written: shards.Written
    output: Path

    def as_json(self) -> dict[str, Any]:
        written = self.written
        return {"layout": self.layout, "samples": dict(written.samples), "shards": dict(written.shards)}


def shard_dataset(request: ShardDatasetRequest, progress: Progress | None = None) -> ShardDatasetResult:
    """Pack labeled scans into tar files of one size (webdataset), to be read by many workers.

    Raises InputError for cases that cannot be read, OutputError for a folder that is there and not empty.
    """
    layout, cases = read_dataset(request.folder, request.follow_links)
    size = shards.bytes_of(request.size)
    written = shards.write_shards(cases, request.output, size, request.split, request.seed, progress)
    return ShardDatasetResult(layout, written, request.output)
