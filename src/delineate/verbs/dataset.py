"""The verbs ``dataset``: labeled scans looked at before training, and packed for training at scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from delineate.core.errors import PromptError
from delineate.data import check, shards
from delineate.data.layouts import read_dataset
from delineate.data.prepare import Preparation, PublicSet, prepare
from delineate.data.superpixels import Method, Superpixels
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


class PrepareDatasetRequest(Request):
    """Everything ``dataset prepare`` needs to know."""

    kind: PublicSet = Field(description="chaos, btcv or polyps.")
    folder: Path = Field(description="The set as it was unpacked.")
    output: Path = Field(description="New folder for volumes or pictures, superpixels and a manifest.")
    size: int = Field(default=256, ge=32, le=2048, description="Pixels along a side of a slice: 256 or 672.")
    superpixels: Method | None = Field(default=Method.FELZENSZWALB, description="How slices are divided; None: not.")
    min_size: int = Field(default=400, ge=1, description="Pixels of the smallest superpixel.")
    sequence: str = Field(default="T2SPIR", description="Of CHAOS: T2SPIR, T1DUAL/InPhase, T1DUAL/OutPhase, CT.")
    without: tuple[str, ...] = Field(default=(), description="Test sets of polyps that are left out, such as CVC-300.")


@dataclass(frozen=True)
class PrepareDatasetResult:
    """How many cases were prepared, and where."""

    cases: int
    output: Path

    def as_json(self) -> dict[str, Any]:
        return {"cases": self.cases, "output": str(self.output)}


def prepare_dataset(request: PrepareDatasetRequest, progress: Progress | None = None) -> PrepareDatasetResult:
    """Bring a public set to the size and intensities of one-shot papers, with superpixels to train from.

    Raises InputError for a folder that is laid out otherwise, OutputError for an output that is there.
    """
    divided = None
    if request.superpixels is not None:
        divided = Superpixels(request.superpixels, request.min_size, size=request.min_size)
    how = Preparation(request.size, divided, request.sequence, request.without)
    count = prepare(request.kind, request.folder, request.output, how, progress)
    return PrepareDatasetResult(count, request.output)
