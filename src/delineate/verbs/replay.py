"""The verb ``replay``: an earlier run done again from its record, byte for byte, or a reason why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from delineate.automatic import AutomaticSettings
from delineate.core.errors import InputError, ModelError
from delineate.core.manifest import Manifest, RunRecord
from delineate.core.prompt_log import PromptLog
from delineate.io.options import ReadOptions
from delineate.predictors.frame_predictor import Predictor
from delineate.systems import SYSTEMS
from delineate.tracking.guards import GuardSettings
from delineate.verbs.auto import AutoRequest, auto
from delineate.verbs.evaluate import EvaluateResult, same_numbers
from delineate.verbs.records import RequestRecord, found_file
from delineate.verbs.repeat import repeat
from delineate.verbs.request import ModelChoice, OutputChoice, Progress, Request, Result, RunResult, libraries
from delineate.verbs.segment import SegmentRequest, segment

_GUARDS = TypeAdapter(GuardSettings)
_READING = TypeAdapter(ReadOptions)


class ReplayRequest(Request):
    """Everything ``replay`` needs to know.

    Files that are not given are looked for beside the manifest and in the current folder, by their recorded names.
    """

    manifest: Path = Field(description="A manifest, or what another verb keeps of a run: request.json, an evaluation.")
    input: Path | None = Field(default=None, description="The scan, or the folder of scans.")
    model: Path | None = Field(default=None, description="The model file.")
    adapter: Path | None = Field(default=None, description="The trained adapter.")
    output: OutputChoice = Field(
        default=OutputChoice(), description='No path: the first run\'s name with "again_" before it.'
    )
    force: bool = Field(default=False, description="Go on although the software, the scan or the model is another.")


@dataclass(frozen=True)
class ReplayResult:
    """What the run gave this time.

    same       whether that is what it gave the first time, to the last bit; None where they cannot be compared
    libraries  those whose version is another, as ``name then -> now``
    """

    run: Result
    same: bool | None
    libraries: tuple[str, ...]

    def as_json(self) -> Any:
        return self.run.as_json()


def replay(request: ReplayRequest, progress: Progress | None = None) -> ReplayResult:
    """Do an earlier run again, with its model, options and prompts.

    ``progress`` is that of the verb. Raises DelineateError if the file records no run, if the scan or a model file is
    not found, or if something differs and ``force`` is not given: it says what.
    """
    if not request.manifest.is_file():
        raise InputError("E-FILE-MISSING", f"There is no file {request.manifest}.", "Check the spelling of the path.")
    record = RequestRecord.read(request.manifest)
    if record is not None:
        return _repeated(record, request, progress)
    manifest = Manifest.read(request.manifest)
    if manifest is None:
        raise InputError(
            "E-MANIFEST",
            f"{request.manifest} is no manifest.",
            "segment, auto, evaluate and trainings keep one; clean, combine and the like are done again by their "
            "command. Prompt logs are applied with segment --prompts.",
        )
    result = _replayed(manifest, request, progress)
    changed = changed_libraries(manifest.run.libraries if manifest.run else {})
    return ReplayResult(result, _same(manifest, result.manifest), changed)


def _replayed(manifest: Manifest, request: ReplayRequest, progress: Progress | None) -> RunResult:
    """The run of a manifest, done again."""
    file, output = request.manifest, request.output
    if output.path is None:
        output = output.model_copy(update={"path": _again(manifest)})
    check = None if request.force else partial(check_same, manifest)
    files = request.input, request.model, request.adapter
    if manifest.run is not None and manifest.run.verb == "auto":
        wanted = auto_request_of(manifest, file, *files)
        sha256 = "" if request.force else manifest.input.sha256
        wanted = wanted.model_copy(update={"output": _kept(wanted.output, output), "scan_sha256": sha256})
        return auto(wanted, check, (file,))
    again = request_of(manifest, file, *files)
    again = again.model_copy(update={"output": _kept(again.output, output), "force": request.force})
    return segment(again, progress, check, (file,))


def _repeated(record: RequestRecord, request: ReplayRequest, progress: Progress | None) -> ReplayResult:
    """The run of a record, done again."""
    if not request.force and record.software != (here := f"delineate {version('delineate')}"):
        raise ModelError(
            "E-REPLAY-DIFFERS",
            f"This would not be the same run: software was {record.software}, and is {here}.",
            "Go on all the same with --force.",
        )
    result = repeat(record, request.manifest, request.input, request.model, request.output.path, progress)
    same = same_numbers(request.manifest, result) if isinstance(result, EvaluateResult) else None
    return ReplayResult(result, same, changed_libraries(record.libraries))


def auto_request_of(
    manifest: Manifest, file: Path, input: Path | None = None, model: Path | None = None, adapter: Path | None = None
) -> AutoRequest:
    """The same for a run of ``auto``."""
    same = request_of(manifest, file, input, model, adapter)
    run = manifest.run
    assert run is not None
    settings = AutomaticSettings(**run.settings)  # type: ignore[arg-type]
    return AutoRequest(
        input=same.input,
        reading=same.reading,
        model=same.model,
        frame=run.frame or 0,
        settings=settings,
        pred_iou_thresh=settings.pred_iou_thresh,
    )


def request_of(
    manifest: Manifest, file: Path, input: Path | None = None, model: Path | None = None, adapter: Path | None = None
) -> SegmentRequest:
    """The request that a manifest, read from ``file``, records.

    Raises DelineateError where a file it names is not found.
    """
    run = manifest.run or RunRecord(model=manifest.model.name)
    # an earlier release recorded no reading options and took its own guards
    return SegmentRequest(
        input=input or found_file(manifest.input.name, file, "The scan", "--input FILE"),
        reading=_READING.validate_python(run.reading),
        model=ModelChoice(
            name=str(model or _model(run.model, file)),
            system=run.system,
            adapter=adapter or _found(run.adapter, file, "The adapter", "--adapter FILE"),
            vocabulary=_found(run.vocabulary, file, "The vocabulary", "a copy beside it"),
            untrained=run.untrained,
            device=manifest.model.device or "auto",
            precision=manifest.model.precision or "auto",
            backend=manifest.model.backend or "torch",
            variant=manifest.model.variant,
            threads=run.threads,
        ),
        asked=manifest.prompts,
        guards=_GUARDS.validate_python(run.guards) if run.guards else None,
        second_opinion=run.second_opinion,
        output=OutputChoice(split=run.split, film=run.film, keep_header=run.keep_header),
    )


def request_from(
    file: Path,
    input: Path,
    output: OutputChoice,
    model: ModelChoice | None = None,
    reading: ReadOptions | None = None,
    force: bool = False,
) -> tuple[SegmentRequest, Callable[[Predictor], None] | None]:
    """What a manifest or a prompt log says is to be done, for ``segment`` on ``input``; and its ``check``.

    A model or a way of reading that is given counts more than what is recorded. Where neither a model nor ``force`` is
    given, the check refuses another model than the recorded one. Raises PromptError for a file that is neither.
    """
    given: dict[str, Any] = {"output": output, "force": force}
    if model is not None:
        given["model"] = model
    if reading is not None:
        given["reading"] = reading
    manifest = Manifest.read(file)
    if manifest is None:
        return SegmentRequest(input=input, asked=PromptLog.read(file)).model_copy(update=given), None
    adapter = None if model is None else model.adapter
    recorded = request_of(manifest, file, input, None if model is None else Path(model.name), adapter)
    same = None if model is not None or force else partial(check_same, manifest)
    return recorded.model_copy(update=given), same


def check_same(manifest: Manifest, predictor: Predictor) -> None:
    """Raise ModelError, naming what differs, if a model is not the one of a manifest, or the software is another."""
    other, now = manifest.second_opinion, predictor.record
    before = other if other is not None and other.name == now.name else manifest.model
    pairs = [("software", manifest.software, f"delineate {version('delineate')}")]
    pairs += [("model", f"{before.name} {before.version}", f"{now.name} {now.version}")]
    pairs += [("the weights' sha256", before.sha256[:16], now.sha256[:16])]
    pairs += [("precision", before.precision or now.precision, now.precision)]
    differing = [f"{what} was {then}, and is {here}" for what, then, here in pairs if then != here]
    if differing:
        raise ModelError(
            "E-REPLAY-DIFFERS",
            f"This would not be the same run: {'; '.join(differing)}.",
            "Give the same model with --model FILE, or go on all the same with --force.",
        )


def changed_libraries(before: Mapping[str, str]) -> tuple[str, ...]:
    """Libraries whose version is not the recorded one, as ``name then -> now``."""
    now = libraries()
    return tuple(f"{name} {then} -> {now.get(name, 'none')}" for name, then in before.items() if now.get(name) != then)


def _kept(first: OutputChoice, chosen: OutputChoice) -> OutputChoice:
    """What the first run wrote, to another place."""
    return first.model_copy(update={"path": chosen.path, "overwrite": chosen.overwrite})


def _found(name: str | None, file: Path, what: str, way_out: str) -> Path | None:
    return found_file(name, file, what, way_out) if name else None


def _model(name: str, file: Path) -> str | Path:
    return name if name in SYSTEMS else found_file(name, file, "The model file", "--model FILE")


def _again(manifest: Manifest) -> Path:
    first = manifest.outputs[0].name if manifest.outputs else "outlines.nii.gz"
    return Path(f"again_{first}")


def _same(before: Manifest, now: Manifest) -> bool | None:
    if [one.format for one in before.outputs] != [one.format for one in now.outputs]:
        return None
    return [one.sha256 for one in before.outputs] == [one.sha256 for one in now.outputs]
