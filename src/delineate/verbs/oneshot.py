"""The verb ``oneshot``: structures shown on one labeled scan, or a few, outlined on all others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from pydantic import Field

from delineate.core.errors import DelineateError, InputError, ModelError, Notice, foreseen
from delineate.core.hashing import sha256_of
from delineate.core.scan import Scan
from delineate.core.segmentation import Segmentation
from delineate.fewshot.features import extractor_of
from delineate.fewshot.matcher import Matcher, MatchOptions
from delineate.io.naming import default_output
from delineate.io.opening import open_scan
from delineate.io.options import ReadOptions
from delineate.io.outputs import Outputs
from delineate.io.saving import outline_files, write_outlines
from delineate.oneshot.calibration import Threshold, calibrated
from delineate.oneshot.examples import Example, frames_needed, lying_volume, read_examples, require_alike
from delineate.oneshot.scans import ScanFindings, find_as_shown
from delineate.oneshot.score_file import Row, append_rows, read_rows, write_rows
from delineate.oneshot.sheet import SheetEntry, save_sheet, save_tile
from delineate.oneshot.targets import SHEET, TILES, targets_in
from delineate.predictors.capabilities import PromptKind, Scope
from delineate.predictors.frame_predictor import FramePredictor, Predictor
from delineate.verbs.outcome import Outcome
from delineate.verbs.records import RequestRecord, begin_folder
from delineate.verbs.request import ModelChoice, Overwrite, Progress, Request

SCORES = "scores.csv"


class OneshotRequest(Request):
    """Everything ``oneshot`` needs to know."""

    supports: tuple[tuple[Path, Path], ...] = Field(description="An image and a file of labels, each.")
    targets: tuple[Path, ...] = Field(description="Scans, and folders of them.")
    output: Path = Field(description="Folder for outlines, scores and the contact sheet.")
    structures: tuple[str, ...] = Field(default=(), description="By name or label value; none: all there are.")
    model: ModelChoice = Field(default=ModelChoice(), description="Refines, and follows through volumes and videos.")
    features: ModelChoice | None = Field(default=None, description="What frames are compared by; default: the model.")
    reading: ReadOptions = ReadOptions()
    refine: bool = Field(
        default=True,
        description="What was found is outlined by the model, where it answers boxes; "
        "else coarse masks stay, which the model follows through volumes and videos all the same.",
    )
    places: int = Field(default=3, ge=1, le=12, description="Places of each structure that are looked at.")
    threshold: float | None = Field(
        default=None, ge=0, le=1, description="Similarity from which on a structure is found; default: by the supports."
    )
    any_modality: bool = Field(default=False, description="Also targets whose files say another modality.")
    frames: bool = Field(default=False, description="A folder of pictures is one video, not many targets.")
    overwrite: Overwrite = False
    resume: bool = Field(default=False, description="Go on with a folder that was begun; what is done stays.")
    supports_sha256: str = Field(default="", description="Of what the supports must hold, where a run is done again.")

    @property
    def files(self) -> tuple[Path | None, ...]:
        """Every file that is read, and the folders of targets."""
        shown = [path for pair in self.supports for path in pair]
        models = [*self.model.files, *(self.features.files if self.features else ())]
        return (*shown, *self.targets, *models)


@dataclass(frozen=True)
class OneshotResult:
    """What became of every structure on every target, and where it was written."""

    rows: tuple[Row, ...]
    thresholds: dict[str, Threshold]
    output: Path
    notices: tuple[Notice, ...] = ()

    @property
    def failed(self) -> tuple[Row, ...]:
        """Targets that could not be read or written."""
        return tuple(row for row in self.rows if row.error)

    @property
    def outcome(self) -> Outcome:
        """Whether anything was found on any target."""
        return Outcome.DONE if any(row.found for row in self.rows) else Outcome.EMPTY

    def as_json(self) -> dict[str, Any]:
        limits = {name: one.similarity for name, one in self.thresholds.items()}
        rows = [row.as_json() for row in self.rows]
        said = {"rows": rows, "notices": [asdict(one) for one in self.notices]}
        return {"outcome": self.outcome, "output": str(self.output), "thresholds": limits, **said}


def oneshot(request: OneshotRequest, progress: Progress | None = None) -> OneshotResult:
    """Outline on every target what the supports show, and write outlines, scores and a contact sheet.

    Each target is written when it is done. One that cannot be read keeps none of the others: its row says why.

    Raises
    ------
    DelineateError
        For supports that show nothing that can be looked for, a model that is not there, and outputs that must not be
        written; for all of these before the first target.
    """
    _require_same_supports(request)
    examples = read_examples(request.supports, request.reading, request.structures)
    found = targets_in(request.targets, request.frames, {path.resolve() for pair in request.supports for path in pair})
    targets = found.files
    predictor = _frame_predictor(request.model.build())
    compared = predictor if request.features is None else request.features.build()
    supports = [(n, one) for n, example in enumerate(examples) for one in example.supports() if one.masks]
    refine = request.refine and PromptKind.BOX in predictor.capabilities.prompts
    options = MatchOptions(refine=refine, places=request.places)
    matcher = Matcher(extractor_of(compared), [one for _, one in supports], predictor, options)
    done = _begun(request)
    thresholds = _thresholds(matcher, request.threshold, [number for number, _ in supports])
    kept = {target.name: _kept(request, target.path, done.get(target.name, []), matcher.names) for target in targets}
    rows = [row for target in targets for row in kept[target.name]]
    write_rows(rows, request.output / SCORES)
    for number, target in enumerate(targets):
        if not kept[target.name]:
            fresh = _on_target(request, target.path, target.name, examples, matcher, thresholds, predictor)
            append_rows(fresh, request.output / SCORES)
            rows += fresh
        if progress is not None:
            progress(number + 1, len(targets))
    save_sheet(_entries(rows, request.output), request.output / SHEET)
    said = dict.fromkeys((*(notice for one in examples for notice in one.scan.notices), *found.notices))
    return OneshotResult(tuple(rows), thresholds, request.output, tuple(said))


def _frame_predictor(predictor: Predictor) -> FramePredictor:
    if predictor.capabilities.scope is not Scope.FRAME:
        raise ModelError(
            "E-ONESHOT-MODEL",
            f"{predictor.record.name} does not answer prompts on single frames.",
            "Name another: -m quill",
        )
    return cast("FramePredictor", predictor)


def _thresholds(matcher: Matcher, given: float | None, scans: Sequence[int]) -> dict[str, Threshold]:
    if given is not None:
        return {name: Threshold(given) for name in matcher.names}
    return calibrated(matcher, scans)


def _begun(request: OneshotRequest) -> dict[str, list[Row]]:
    """What an earlier run in the output folder has done, by target; the folder is made if it is not there.

    Raises OutputError for a folder that is there without ``resume`` or ``overwrite``, or was begun otherwise.
    """
    goes_on = begin_folder(
        request.output, _recorded(request), request.resume, request.overwrite,
        free=("targets",), fixed="supports, models or options",
    )  # fmt: skip
    done: dict[str, list[Row]] = {}
    for row in read_rows(request.output / SCORES) if goes_on else ():
        if not row.error and (not row.file or (request.output / row.file).exists()):
            done.setdefault(row.target, []).append(row)
    (request.output / TILES).mkdir(exist_ok=True)
    return done


def _kept(request: OneshotRequest, path: Path, rows: list[Row], structures: Collection[str]) -> list[Row]:
    """The rows of a target, unless some are missing, or another scan has its name by now."""
    if {row.structure for row in rows} != set(structures):
        return []
    try:
        with open_scan(path, request.reading) as scan:
            return rows if _sha256(scan) == rows[0].sha256 else []
    except DelineateError:
        return []


def _sha256(scan: Scan) -> str:
    return scan.file.sha256 if scan.file is not None else ""


def _recorded(request: OneshotRequest) -> RequestRecord:
    """The request, with the hash of what the supports hold."""
    record = RequestRecord.of("oneshot", request)
    return record.model_copy(update={"request": {**record.request, "supports_sha256": _supports_sha256(request)}})


def _supports_sha256(request: OneshotRequest) -> str:
    files = (file for pair in request.supports for path in pair for file in _files_of(path))
    return sha256_of(*files)


def _files_of(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _require_same_supports(request: OneshotRequest) -> None:
    if request.supports_sha256 and request.supports_sha256 != _supports_sha256(request):
        raise InputError(
            "E-REPLAY-DIFFERS",
            "This would not be the same run: the supports hold something else.",
            "Begin a new one: delineate oneshot --support IMAGE MASK ...",
        )


def _on_target(
    request: OneshotRequest,
    path: Path,
    name: str,
    examples: Sequence[Example],
    matcher: Matcher,
    thresholds: dict[str, Threshold],
    predictor: FramePredictor,
) -> list[Row]:
    """The rows of one target; its outlines are written."""
    began = perf_counter()
    try:
        with open_scan(path, request.reading) as scan:
            if not request.any_modality:
                require_alike(examples, scan)
            limits = {one: threshold.similarity for one, threshold in thresholds.items()}
            empty = partial(_empty, examples=examples)
            looked_at = frames_needed(examples)
            found = find_as_shown(scan, lying_volume(examples), matcher, limits, empty, predictor, looked_at)
            seconds, sha256 = perf_counter() - began, _sha256(scan)
            file = _write(request, scan, name, found)
    except Exception as error:
        known = foreseen(error)
        return [Row(name, error=f"{known.code}: {known.message} {known.hint}")]
    return [
        Row(
            name,
            one.name,
            one.similarity,
            limits[one.name],
            one.found,
            one.frame,
            one.origin,
            seconds,
            file,
            confidence=one.confidence,
            sha256=sha256,
        )
        for one in found.findings
    ]


def _empty(scan: Scan, examples: Sequence[Example]) -> Segmentation:
    """The structures of all supports on another scan, each with its label and color, not outlined."""
    empty = Segmentation.empty(scan)
    for example in examples:
        for one in example.labels.objects:
            if one.name not in empty:
                free = all(other.label != one.label for other in empty.objects)
                empty = empty.adding(one.name, one.color, one.label if free else None)
    return empty


def _write(request: OneshotRequest, scan: Scan, name: str, found: ScanFindings) -> str:
    target = request.output / f"{name}{_ending(scan)}"
    tile = request.output / TILES / f"{name}.png"
    files = outline_files(target, scan.kind)
    with Outputs((*files, tile), request.files, request.overwrite or request.resume) as outputs:
        write_outlines(found.segmentation, files, scan, outputs)
        frame = max(found.findings, key=lambda one: one.similarity).frame if found.findings else 0
        save_tile(scan, found.segmentation, frame, outputs.stage(tile))
    return target.name


def _ending(scan: Scan) -> str:
    usual = default_output(replace(scan, file=None)).name
    return usual.removeprefix("scan")


def _entries(rows: Sequence[Row], folder: Path) -> list[SheetEntry]:
    """An entry for each target: that of its most doubtful structure."""
    entries: dict[str, list[SheetEntry]] = {}
    for row in rows:
        said = f"confidence {row.confidence:.2f}" if row.found else "not found"
        about = row.error or f"{row.structure}: {said}"
        picture = None if row.error else folder / TILES / f"{row.target}.png"
        entry = SheetEntry(picture, row.target, row.margin, about, row.confidence)
        entries.setdefault(row.target, []).append(entry)
    return [min(own, key=lambda one: one.place) for own in entries.values()]
