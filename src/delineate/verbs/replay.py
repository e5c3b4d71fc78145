"""The verb ``replay``: an earlier run done again from its manifest, byte for byte, or a reason why not."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter

from delineate.automatic import EverythingSettings
from delineate.core.errors import InputError, ModelError
from delineate.core.manifest import Manifest, RunRecord
from delineate.io.options import ReadOptions
from delineate.predictors.frame_predictor import Predictor
from delineate.systems import SYSTEMS
from delineate.tracking.guards import GuardSettings
from delineate.verbs.auto import AutoRequest, auto
from delineate.verbs.request import ModelChoice, OutputChoice, RunResult, libraries
from delineate.verbs.segment import SegmentRequest, segment

_GUARDS = TypeAdapter(GuardSettings)
_READING = TypeAdapter(ReadOptions)
Progress = Callable[[int, int], None]


def replay(
    file: Path,
    output: OutputChoice,
    input: Path | None = None,
    model: Path | None = None,
    adapter: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> tuple[RunResult, bool | None]:
    """Do the run of a manifest again.

    Parameters
    ----------
    file
        The manifest.
    output
        Where to write; without a path, the first run's file name with "again_" before it, in the current folder.
    input, model, adapter
        The scan, the model file and the adapter; by default files of the recorded names beside the manifest or in the
        current folder.
    force
        Go on although the software, the scan or the model is not the same.

    Returns
    -------
    result, same
        ``same``: whether the outlines are those of the first run to the last bit; None where the format is another.

    Raises
    ------
    DelineateError
        If the file is no manifest, the scan or a model file is not found, or something differs and ``force`` is not
        given. It says what differs.
    """
    manifest = Manifest.read(file)
    if manifest is None:
        raise InputError("E-MANIFEST", f"{file} is no manifest.", "Prompt logs are applied with segment --prompts.")
    if output.path is None:
        output = output.model_copy(update={"path": _again(manifest)})
    check = None if force else lambda predictor: check_same(manifest, predictor)
    result: RunResult
    if manifest.run is not None and manifest.run.verb == "auto":
        wanted = auto_request_of(manifest, file, input, model, adapter)
        sha256 = "" if force else manifest.input.sha256
        wanted = wanted.model_copy(update={"output": _kept(wanted.output, output), "scan_sha256": sha256})
        result = auto(wanted, check, (file,))
    else:
        request = request_of(manifest, file, input, model, adapter)
        request = request.model_copy(update={"output": _kept(request.output, output), "force": force})
        result = segment(request, progress, check, (file,))
    return result, _same(manifest, result.manifest)


def auto_request_of(
    manifest: Manifest, file: Path, input: Path | None = None, model: Path | None = None, adapter: Path | None = None
) -> AutoRequest:
    """The same for a run of ``auto``."""
    same = request_of(manifest, file, input, model, adapter)
    run = manifest.run
    assert run is not None
    settings = EverythingSettings(**run.settings)  # type: ignore[arg-type]
    return AutoRequest(
        input=same.input,
        reading=same.reading,
        model=same.model,
        frame=run.frame or 0,
        settings=settings,
        least_iou=settings.least_iou,
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
        input=input or _found(manifest.input.name, file, "The scan", "--input FILE"),
        reading=_READING.validate_python(run.reading),
        model=ModelChoice(
            name=str(model or _model(run.model, file)),
            system=run.system,
            adapter=adapter or (_found(run.adapter, file, "The adapter", "--adapter FILE") if run.adapter else None),
            vocabulary=_found(run.vocabulary, file, "The vocabulary", "a copy beside it") if run.vocabulary else None,
            untrained=run.untrained,
            device=manifest.model.device or "auto",
            precision=manifest.model.precision or "auto",
            backend=manifest.model.backend or "torch",
            variant=manifest.model.variant,
            threads=run.threads,
        ),
        asked=manifest.prompts,
        guards=_GUARDS.validate_python(run.guards) if run.guards else None,
        output=OutputChoice(split=run.split, film=run.film, keep_header=run.keep_header),
    )


def check_same(manifest: Manifest, predictor: Predictor) -> None:
    """Raise ModelError, naming what differs, if a model is not the one of a manifest, or the software is another."""
    before, now = manifest.model, predictor.record
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


def differing_libraries(manifest: Manifest) -> list[str]:
    """Libraries whose version is not that of a manifest's run, as ``name then -> now``."""
    before, now = (manifest.run.libraries if manifest.run else {}), libraries()
    return [f"{name} {before[name]} -> {now.get(name, 'none')}" for name in before if now.get(name) != before[name]]


def _kept(first: OutputChoice, chosen: OutputChoice) -> OutputChoice:
    """What the first run wrote, to another place."""
    return first.model_copy(update={"path": chosen.path, "overwrite": chosen.overwrite})


def _found(name: str, file: Path, what: str, way_out: str) -> Path:
    """A file of a recorded name, beside the manifest or in the current folder."""
    for folder in (file.parent, Path()):
        if name and (folder / name).exists():
            return folder / name
    raise InputError(
        "E-REPLAY-FILE", f"{what} {name or 'of this run'} is neither beside {file.name} nor here.", f"Say: {way_out}"
    )


def _model(name: str, file: Path) -> str | Path:
    return name if name in SYSTEMS else _found(name, file, "The model file", "--model FILE")


def _again(manifest: Manifest) -> Path:
    first = manifest.outputs[0].name if manifest.outputs else "outlines.nii.gz"
    return Path(f"again_{first}")


def _same(before: Manifest, now: Manifest) -> bool | None:
    if [one.format for one in before.outputs] != [one.format for one in now.outputs]:
        return None
    return [one.sha256 for one in before.outputs] == [one.sha256 for one in now.outputs]
