"""The verb ``batch``: ``segment`` on many scans in one process, with a summary of what became of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from delineate.core.errors import DelineateError, Notice, PromptError, foreseen
from delineate.core.manifest import Manifest
from delineate.core.scan import ScanKind
from delineate.core.terminal_text import counted
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.predictors.capabilities import Scope
from delineate.systems.routing import AUTO
from delineate.tracking.guards import GuardSettings
from delineate.verbs.batch_files import BatchFile, batch_files
from delineate.verbs.batch_rows import FAILED, BatchRow, rows_of, summary
from delineate.verbs.outcome import Outcome
from delineate.verbs.records import RequestRecord, begin_folder
from delineate.verbs.request import ModelChoice, OutputChoice, Overwrite, Progress, Request
from delineate.verbs.segment import SegmentRequest, SegmentTarget, segment
from delineate.verbs.targets import asks_the_same

SUMMARY = "summary.csv"
Ending = Literal[".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha", ".tif", ".npz", ".json", ".png"]
USUAL: Final = {ScanKind.IMAGE: ".png", ScanKind.VOLUME: ".nii.gz", ScanKind.VIDEO: ""}


class BatchRequest(Request):
    """Everything ``batch`` needs to know."""

    inputs: tuple[Path, ...] = Field(default=(), description='Scans, folders of them, and patterns such as "ct/*.mha".')
    listing: Path | None = Field(default=None, description="A list of scans, each with prompts of its own if need be.")
    asked: tuple[SegmentTarget, ...] = Field(default=(), description="The structures on scans that name none.")
    reading: ReadOptions = ReadOptions()
    model: ModelChoice = ModelChoice()
    guards: GuardSettings | None = None
    output: Path = Field(description="Folder for outlines, their records, and the summary.")
    ending: Ending | None = Field(default=None, description="The format of outlines; default: as the scan's kind.")
    frames: bool = Field(default=False, description="A folder of pictures is one video, not many scans.")
    overwrite: Overwrite = False
    resume: bool = Field(default=False, description="Go on with a folder that was begun; what is done stays.")

    @property
    def files(self) -> tuple[Path | None, ...]:
        """Every file that is read, and the folders of scans."""
        return (*self.inputs, self.listing, *self.model.files)


@dataclass(frozen=True)
class BatchResult:
    """What became of every structure on every scan."""

    rows: tuple[BatchRow, ...]
    output: Path
    notices: tuple[Notice, ...] = ()

    @property
    def failed(self) -> tuple[BatchRow, ...]:
        """Scans that could not be read, outlined or written."""
        return tuple(row for row in self.rows if row.outcome == FAILED)

    @property
    def outcome(self) -> Outcome:
        """Whether anything was outlined on any scan."""
        return Outcome.DONE if any(row.pixels for row in self.rows) else Outcome.EMPTY

    def as_json(self) -> dict[str, Any]:
        rows = [row.as_json() for row in self.rows]
        notices = [asdict(one) for one in self.notices]
        return {"outcome": self.outcome, "output": str(self.output), "rows": rows, "notices": notices}


def batch(
    request: BatchRequest,
    progress: Progress | None = None,
    found: Callable[[tuple[BatchRow, ...]], None] | None = None,
) -> BatchResult:
    """Outline the same structures on many scans, or on each what a list says; a table tells what became of each.

    The model is loaded once. Each scan gets what ``segment`` gives it, when it is done. One that cannot be read or
    pointed at keeps none of the others: its row says why.

    Parameters
    ----------
    request
        What is asked.
    progress
        Called with (scans done, all).
    found
        Called with the rows of each scan when it is done.

    Raises
    ------
    DelineateError
        For a list that is none, scans that are not there, a model that is missing, and outputs that must not be
        written; for all of these before the first scan.
    """
    files, notices = batch_files(request.inputs, request.listing, request.frames)
    build = cache(ModelChoice.build)
    knows = request.model.name != AUTO and build(request.model).capabilities.scope is Scope.DENSE
    _require_pointed(request, () if knows else files)
    begin_folder(
        request.output, RequestRecord.of("batch", request), request.resume, request.overwrite,
        free=("inputs", "listing"), fixed="prompts, another model or other options",
    )  # fmt: skip
    rows, table = list[BatchRow](), summary(request.output / SUMMARY)
    table.begin()
    for number, file in enumerate(files, 1):
        new = _earlier(request, file) or _done(request, file, build)
        rows += new
        table.add(row.as_json() for row in new)
        if found is not None:
            found(new)
        if progress is not None:
            progress(number, len(files))
    return BatchResult(tuple(rows), request.output, notices)


def _done(request: BatchRequest, file: BatchFile, build: Callable[[ModelChoice], Any]) -> tuple[BatchRow, ...]:
    """The rows of one scan, which is outlined and written."""
    try:
        with open_scan(file.path, request.reading) as scan:
            ending = USUAL[scan.kind] if request.ending is None else request.ending
        one = SegmentRequest(
            input=file.path,
            reading=request.reading,
            model=request.model,
            asked=_asked_on(request, file),
            guards=request.guards,
            output=OutputChoice(
                path=request.output / f"{file.name}{ending}", overwrite=request.overwrite or request.resume
            ),
        )
        result = segment(one, inputs=request.files, build=build)
        return tuple(rows_of(str(file.path), result.manifest)) or (BatchRow(str(file.path), outcome=Outcome.EMPTY),)
    except Exception as error:
        known = foreseen(error)
        return (BatchRow(str(file.path), error=f"{known.code}: {known.message} {known.hint}"),)


def _earlier(request: BatchRequest, file: BatchFile) -> tuple[BatchRow, ...]:
    """The rows of a scan that an earlier run has done; none where it has to be done, as it or its prompts changed."""
    record = request.output / f"{file.name}.manifest.json"
    manifest = Manifest.read(record) if request.resume and record.is_file() else None
    if manifest is None or manifest.stopped is not None or manifest.input.name != file.path.name:
        return ()
    if not all((request.output / one.name).exists() for one in manifest.outputs):
        return ()
    if not asks_the_same(manifest.prompts, _asked_on(request, file)):
        return ()
    try:
        with open_scan(file.path, request.reading) as scan:  # another scan may have this name by now
            same = scan.file is not None and scan.file.sha256 == manifest.input.sha256
    except DelineateError:
        return ()
    return tuple(rows_of(str(file.path), manifest)) if same else ()


def _asked_on(request: BatchRequest, file: BatchFile) -> tuple[SegmentTarget, ...]:
    """The structures on a scan: those its list asks for, named and followed as is said for all; else those of all."""
    if not file.targets or not request.asked:
        return file.targets or request.asked
    first = request.asked[0]
    ways: dict[str, object] = {"propagate": first.propagate, "following": first.following}
    named = {"name": first.name} if len(request.asked) == 1 else {}
    return tuple(
        one.model_copy(update=ways | (named if one.name == SegmentTarget().name else {})) for one in file.targets
    )


def _require_pointed(request: BatchRequest, files: tuple[BatchFile, ...]) -> None:
    """Raise PromptError, before anything is done, where nothing says what is meant on some of the scans."""
    bare = [file.path.name for file in files if not file.targets]
    if bare and not any(target.says_where for target in request.asked):
        raise PromptError(
            "E-PROMPT-NONE",
            f"Nothing says what is meant on {len(bare)} of {counted(len(files), 'scan')}, such as {bare[0]}.",
            "Give one prompt for all, such as --box x0,y0,x1,y1, or each its own in a list: --list FILE.csv",
        )
